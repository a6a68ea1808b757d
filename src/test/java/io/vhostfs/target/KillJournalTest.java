package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.target.KillJournal.Found;
import io.vhostfs.target.KillJournal.Kept;
import io.vhostfs.target.KillJournal.Kind;
import io.vhostfs.target.KillJournal.Step;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The check of what a kill left finds what it is there to find. */
class KillJournalTest {
    private static final int BLOCK = 4096;

    private final KillJournal journal = new KillJournal();

    private Step answered(Kind kind, String path, long offset, int length) {
        Step step = journal.add(kind, path, "", offset, length);
        step.answered();
        return step;
    }

    /** A file of one block, written by version 1; two steps. */
    private void writtenFile() {
        answered(Kind.CREATE, "a/f", 0, 0);
        answered(Kind.WRITE, "a/f", 0, BLOCK);
    }

    private static Found file(long... versions) {
        return new Found(versions.length * 512L, versions);
    }

    private static Found block(long version) {
        long[] versions = new long[8];
        Arrays.fill(versions, version);
        return file(versions);
    }

    @Test
    void anyPrefixOfUnsyncedStepsWillDo() {
        writtenFile();
        assertEquals(new Kept(0, 0, 0, 2), journal.check(Map.of()));
    }

    @Test
    void theEmptyFileBeforeTheWriteIsAPrefix() {
        writtenFile();
        assertEquals(new Kept(1, 1, 0, 2), journal.check(Map.of("a/f", file())));
    }

    @Test
    void whatWasSyncedMustBeThere() {
        writtenFile();
        answered(Kind.FSYNC, "a/f", 0, 0);
        assertThrows(AssertionError.class, () -> journal.check(Map.of("a/f", file())));
        assertEquals(new Kept(2, 3, 2, 3), journal.check(Map.of("a/f", block(1))));
    }

    @Test
    void aSyncWithoutAnAnswerPromisesNothing() {
        writtenFile();
        journal.add(Kind.SYNCFS, "", "", 0, 0);
        assertEquals(0, journal.check(Map.of()).longest());
    }

    @Test
    void foreignDataIsFound() {
        writtenFile();
        AssertionError e =
                assertThrows(AssertionError.class, () -> journal.check(Map.of("a/f", block(SectorPattern.FOREIGN))));
        assertTrue(String.valueOf(e.getMessage()).contains("a/f"), e.getMessage());
    }

    @Test
    void aFileWithoutItsDataIsFound() {
        writtenFile();
        assertThrows(AssertionError.class, () -> journal.check(Map.of("a/f", block(0))));
    }

    @Test
    void anAnsweredOverwriteOutlivesTheKillThoughNothingWasSyncedAfterIt() {
        writtenFile();
        answered(Kind.FSYNC, "a/f", 0, 0);
        answered(Kind.WRITE, "a/f", 0, BLOCK);
        assertThrows(AssertionError.class, () -> journal.check(Map.of("a/f", block(1))));
        journal.check(Map.of("a/f", block(2)));
    }

    @Test
    void anOverwriteWithoutAnAnswerMayBeThereInPart() {
        writtenFile();
        journal.add(Kind.WRITE, "a/f", "", 0, BLOCK);
        journal.check(Map.of("a/f", file(2, 2, 2, 1, 1, 1, 1, 1)));
    }

    @Test
    void bytesBehindAnEarlierEndOfFileMustNotComeBack() {
        writtenFile();
        answered(Kind.TRUNCATE, "a/f", 512, 0);
        answered(Kind.TRUNCATE, "a/f", BLOCK, 0);
        answered(Kind.WRITE, "a/f", 0, 512);
        answered(Kind.CREATE, "a/g", 0, 0);
        assertThrows(AssertionError.class, () -> journal.check(Map.of("a/f", block(1), "a/g", file())));
        journal.check(Map.of("a/f", file(2, 0, 0, 0, 0, 0, 0, 0), "a/g", file()));
    }

    @Test
    void whatATruncationCutOffIsThereWithoutTheTruncation() {
        writtenFile();
        answered(Kind.FSYNC, "a/f", 0, 0);
        answered(Kind.TRUNCATE, "a/f", 512, 0);
        answered(Kind.TRUNCATE, "a/f", 1024, 0);
        assertThrows(AssertionError.class, () -> journal.check(Map.of("a/f", file(1, 0, 1, 1, 1, 1, 1, 1))));
        journal.check(Map.of("a/f", block(1)));
    }

    @Test
    void aWriteBehindATruncationIsNotThereWithoutIt() {
        writtenFile();
        answered(Kind.FSYNC, "a/f", 0, 0);
        answered(Kind.TRUNCATE, "a/f", 512, 0);
        answered(Kind.WRITE, "a/f", 512, 512);
        assertThrows(AssertionError.class, () -> journal.check(Map.of("a/f", file(1, 2, 1, 1, 1, 1, 1, 1))));
        journal.check(Map.of("a/f", file(1, 2)));
    }

    @Test
    void stepsAreKeptInTheirOrder() {
        answered(Kind.CREATE, "a/f", 0, 0);
        answered(Kind.CREATE, "a/g", 0, 0);
        assertThrows(AssertionError.class, () -> journal.check(Map.of("a/g", file())));
    }

    @Test
    void noClientKeepsWhatCameAfterAnothersLoss() {
        KillJournal other = new KillJournal();
        answered(Kind.CREATE, "a/f", 0, 0);
        other.add(Kind.CREATE, "a/g", "", 0, 0).answered();
        List<List<Step>> steps = List.of(journal.steps(), other.steps());
        Kept lost = journal.check(Map.of());
        Kept kept = other.check(Map.of("a/g", file()));
        assertThrows(AssertionError.class, () -> KillJournal.assertOnePrefix(steps, List.of(lost, kept)));
        KillJournal.assertOnePrefix(List.of(steps.get(1), steps.get(0)), List.of(lost, kept));
    }

    @Test
    void aSectorSaysWhoWroteItWhere() {
        byte[] data = new byte[2 * SectorPattern.SECTOR];
        SectorPattern.fill(data, 3, 1024, 77);
        assertEquals(77, SectorPattern.version(data, SectorPattern.SECTOR, 3, 1536));
        assertEquals(SectorPattern.FOREIGN, SectorPattern.version(data, SectorPattern.SECTOR, 3, 1024));
        assertEquals(SectorPattern.FOREIGN, SectorPattern.version(data, 0, 2, 1024));
        data[100] ^= 1;
        assertEquals(SectorPattern.FOREIGN, SectorPattern.version(data, 0, 3, 1024));
        assertEquals(SectorPattern.ZERO, SectorPattern.version(new byte[SectorPattern.SECTOR], 0, 3, 0));
    }
}

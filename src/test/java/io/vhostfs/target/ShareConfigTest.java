package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.AccessTimes;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class ShareConfigTest {
    @Test
    void shouldFillDefaults() {
        ShareConfig share = ShareConfig.parse("tag=home,socket=/run/h.sock");
        assertEquals(
                new ShareConfig(
                        "home",
                        Path.of("/run/h.sock"),
                        -1,
                        null,
                        false,
                        true,
                        "",
                        "/",
                        ShareConfig.Mode.EXCLUSIVE,
                        false,
                        AccessTimes.OFF,
                        1,
                        null),
                share);
    }

    @Test
    void shouldReadEveryKey() {
        ShareConfig share =
                ShareConfig.parse("queues=4,mode=shared,root=/a/b,bdev=d,fd=7,tag=t,mount=/m,privileged=on,uring=off,"
                        + "inodes=5,quota=10G,atime=relative");
        assertEquals(
                new ShareConfig(
                        "t",
                        null,
                        7,
                        Path.of("/m"),
                        true,
                        false,
                        "d",
                        "/a/b",
                        ShareConfig.Mode.SHARED,
                        false,
                        AccessTimes.RELATIVE,
                        4,
                        new ShareConfig.Quota(10L << 30, 5)),
                share);
    }

    @Test
    void openIsDoneWithoutOnlyByOneClient() {
        assertTrue(ShareConfig.parse("tag=t,socket=/s,no-open=on").noOpen());
        assertThrows(ConfigException.class, () -> ShareConfig.parse("tag=t,socket=/s,mode=shared,no-open=on"));
        assertThrows(ConfigException.class, () -> ShareConfig.parse("tag=t,socket=/s,no-open=maybe"));
    }

    @Test
    void aLimitMayBeMissingOrNone() {
        assertEquals(
                new ShareConfig.Quota(1 << 20, 0),
                ShareConfig.parse("tag=t,socket=/s,quota=1M").quota());
        assertEquals(
                new ShareConfig.Quota(0, 7),
                ShareConfig.parse("tag=t,socket=/s,quota=none,inodes=7").quota());
    }

    @Test
    void shouldBeSharedOfItselfWhenAGuestAndTheHostUseIt() {
        assertEquals(
                ShareConfig.Mode.SHARED,
                ShareConfig.parse("tag=t,socket=/s,mount=/m").mode());
        assertEquals(
                ShareConfig.Mode.EXCLUSIVE, ShareConfig.parse("tag=t,mount=/m").mode());
        assertFalse(ShareConfig.parse("tag=t,mount=/m").hasDevice());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "socket=/s | tag=",
                "tag=t | socket=, fd= or mount=",
                "tag=t,socket=/s,fd=3 | socket= and fd=",
                "tag=t,socket=/s,mount=/m,mode=exclusive | two clients",
                "tag=t,fd=3,mount=/m,mode=exclusive | two clients",
                "tag=t,socket=/s,privileged=on | mount=",
                "tag=t,mount=/m,privileged=yes | off or on",
                "tag=t,mount=/m,uring=on | auto or off",
                "tag=t,socket=/s,uring=off | mount=",
                "tag=t,socket=/s,mode=both | exclusive or shared",
                "tag=t,socket=/s,queues=0 | 1 to 64",
                "tag=t,socket=/s,queues=x | 1 to 64",
                "tag=t,socket=/s,root=sub | absolute",
                "tag=t,socket=/s,colour=red | colour",
                "tag=t,socket=/s,quota=0 | quota=0",
                "tag=t,socket=/s,quota=much | none",
                "tag=t,socket=/s,inodes=-1 | inodes=-1",
                "tag=t,tag=u,socket=/s | twice",
                "tag=t,socket | key=value",
                "tag=0123456789012345678901234567890123456,socket=/s | 36 bytes",
            })
    void shouldRefuseAndNameTheProblem(String text, String problem) {
        ConfigException e = assertThrows(ConfigException.class, () -> ShareConfig.parse(text));
        assertTrue(String.valueOf(e.getMessage()).contains(problem), e::getMessage);
    }
}

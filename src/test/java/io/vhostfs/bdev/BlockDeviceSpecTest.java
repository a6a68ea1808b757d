package io.vhostfs.bdev;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.bdev.BlockDeviceSpec.Nvme.Interrupts;
import io.vhostfs.reactor.IdlePolicy;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class BlockDeviceSpecTest {
    @Test
    void readsMalloc() {
        assertEquals(new BlockDeviceSpec.Malloc(64L << 20), BlockDeviceSpec.parse("malloc:64M"));
    }

    @Test
    void readsFileWithoutOptions() {
        assertEquals(new BlockDeviceSpec.FilePath("/srv/a:b=c", 0, false), BlockDeviceSpec.parse("file:/srv/a:b=c"));
    }

    @Test
    void readsFileWithOptions() {
        assertEquals(
                new BlockDeviceSpec.FilePath("/srv/store", 1L << 30, true),
                BlockDeviceSpec.parse("file:/srv/store,size=1G,direct=on"));
        assertEquals(new BlockDeviceSpec.FilePath("store", 0, false), BlockDeviceSpec.parse("file:store,direct=off"));
    }

    @Test
    void readsDoubledCommaAsPartOfThePath() {
        assertEquals(
                new BlockDeviceSpec.FilePath("/srv/a,b,", 8192, false),
                BlockDeviceSpec.parse("file:/srv/a,,b,,,size=8K"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"malloc:64M", "malloc:12288", "file:/a,,b,size=3T,direct=on", "file:store"})
    void printsWhatItRead(String text) {
        BlockDeviceSpec spec = BlockDeviceSpec.parse(text);
        assertEquals(spec, BlockDeviceSpec.parse(spec.toString()));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "malloc",
                "malloc:",
                "malloc:0",
                "malloc:1000",
                "malloc:-4096",
                "malloc:64MB",
                "malloc:9999999999999T",
                "malloc:99999999999999999999",
                "ram:64M",
                "file",
                "file:",
                "file:,size=1G",
                "file:/a,size",
                "file:/a,size=0",
                "file:/a,direct=yes",
                "file:/a,speed=11",
                "64M"
            })
    void refusesWhatIsNoName(String text) {
        BlockDeviceException e = assertThrows(BlockDeviceException.class, () -> BlockDeviceSpec.parse(text));
        assertEquals(Kind.INVALID, e.kind());
        assertTrue(String.valueOf(e.getMessage()).contains("'" + text + "'"), e.getMessage());
    }

    @Test
    void readsNvmeNamespaces() {
        assertEquals(
                new BlockDeviceSpec.Nvme("0000:01:00.0", 1, Interrupts.OPEN, 30, false),
                BlockDeviceSpec.parse("nvme:0000:01:00.0"));
        assertEquals(
                new BlockDeviceSpec.Nvme("0000:0a:1f.7", 2, Interrupts.ON, 5, false),
                BlockDeviceSpec.parse("nvme:0A:1F.7,nsid=2,interrupts=on,timeout=5"));
        for (String name : new String[] {
            "nvme:0000:01:00.0",
            "nvme:0000:01:00.0,interrupts=off",
            "nvme:0000:01:00.0,nsid=3,interrupts=on,timeout=3600,unsafe-noiommu=on"
        }) {
            assertEquals(name, BlockDeviceSpec.parse(name).toString());
        }
        for (String bad : new String[] {
            "nvme:",
            "nvme:nvme0",
            "nvme:01:00.0,nsid=0",
            "nvme:01:00.8",
            "nvme:01:00.0,x=1",
            "nvme:01:00.0,unsafe-noiommu=yes",
            "nvme:01:00.0,timeout=3601"
        }) {
            assertThrows(BlockDeviceException.class, () -> BlockDeviceSpec.parse(bad), bad);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "'', BUSY, ''",
        "'', ADAPTIVE, ',interrupts=on'",
        "'', INTERRUPT, ',interrupts=on'",
        "',interrupts=off', INTERRUPT, ',interrupts=off'",
        "',interrupts=off', ADAPTIVE, ',interrupts=off'",
        "',interrupts=on', BUSY, ',interrupts=on'"
    })
    void reactorsThatSleepHaveInterruptsUnlessThoseAreOff(String said, IdlePolicy policy, String used) {
        String name = "nvme:0000:01:00.0";
        assertEquals(
                name + used, BlockDeviceSpec.parse(name + said).usedBy(policy).toString());
        assertEquals(
                "malloc:4M", BlockDeviceSpec.parse("malloc:4M").usedBy(policy).toString());
    }
}

package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.reactor.IdlePolicy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class TargetConfigTest {
    private static TargetConfig config(List<String> devices, List<String> shares) {
        return new TargetConfig(
                "",
                IdlePolicy.ADAPTIVE,
                devices.stream().map(DeviceConfig::parse).toList(),
                shares.stream().map(ShareConfig::parse).toList(),
                false);
    }

    private static void assertRefused(String problem, List<String> devices, List<String> shares) {
        ConfigException e = assertThrows(ConfigException.class, () -> config(devices, shares));
        assertTrue(String.valueOf(e.getMessage()).contains(problem), e::getMessage);
    }

    @Test
    void shouldRefuseAMetadataCacheThatIsTooSmallOrTooLarge() {
        for (long bytes : new long[] {0, (4L << 20) - 1, (64L << 30) + 1}) {
            ConfigException e = assertThrows(
                    ConfigException.class,
                    () -> new TargetConfig(
                            "",
                            IdlePolicy.ADAPTIVE,
                            List.of(DeviceConfig.parse("malloc:64M")),
                            List.of(ShareConfig.parse("tag=t,socket=/s")),
                            false,
                            bytes));
            assertTrue(String.valueOf(e.getMessage()).contains("--meta-cache with 4M to 64G"), e::getMessage);
        }
    }

    @Test
    void shouldFindTheDeviceOfAShare() {
        TargetConfig config = config(
                List.of("a=malloc:64M", "b=file:/x,size=1G"),
                List.of("tag=one,socket=/1,bdev=b", "tag=two,socket=/2,bdev=a"));
        assertEquals(
                new DeviceConfig("b", "file:/x,size=1G"),
                config.deviceOf(config.shares().getFirst()));
    }

    @Test
    void shouldTakeDiscardAsTheLastOptionOfADevice() {
        assertEquals(
                new DeviceConfig("b", "file:/x,size=1G", true), DeviceConfig.parse("b=file:/x,size=1G,discard=on"));
        assertEquals(new DeviceConfig("file:/x", "file:/x", false), DeviceConfig.parse("file:/x,discard=off"));
        assertEquals(
                new DeviceConfig("file:/x,,discard=on", "file:/x,,discard=on", false),
                DeviceConfig.parse("file:/x,,discard=on"),
                "a comma in the path");
        assertEquals(new DeviceConfig("file:/x,,", "file:/x,,", true), DeviceConfig.parse("file:/x,,,discard=on"));
    }

    @Test
    void shouldTakeTheOnlyDeviceWhenAShareNamesNone() {
        TargetConfig config = config(List.of("malloc:64M"), List.of("tag=one,socket=/1"));
        assertEquals("malloc:64M", config.deviceOf(config.shares().getFirst()).spec());
    }

    @Test
    void shouldRefuseWhatCannotWork() {
        assertRefused("no block device", List.of(), List.of("tag=t,socket=/s"));
        assertRefused("shares are needed", List.of("malloc:64M"), List.of());
        assertRefused("given twice", List.of("a=malloc:64M", "a=malloc:1G"), List.of("tag=t,socket=/s"));
        assertRefused("must name one of", List.of("a=malloc:64M", "b=malloc:1G"), List.of("tag=t,socket=/s"));
        assertRefused("must name one of", List.of("malloc:64M"), List.of("tag=t,socket=/s,bdev=x"));
        assertRefused("given twice", List.of("malloc:64M"), List.of("tag=t,socket=/s", "tag=t,socket=/u"));
        assertRefused("has the socket", List.of("malloc:64M"), List.of("tag=t,socket=/s", "tag=u,socket=/a/../s"));
        assertRefused("is mounted at", List.of("malloc:64M"), List.of("tag=t,mount=/m", "tag=u,mount=/m/"));
    }

    @Test
    void shouldRefuseAnExclusiveShareOfFilesThatAnotherHas() {
        List<String> one = List.of("malloc:64M");
        assertRefused("exclusive", one, List.of("tag=t,socket=/s", "tag=u,socket=/u"));
        assertRefused("exclusive", one, List.of("tag=t,socket=/s,mode=shared", "tag=u,socket=/u,root=/a"));
        assertRefused("exclusive", one, List.of("tag=t,socket=/s", "tag=u,socket=/u,root=/a,mode=shared"));
        config(one, List.of("tag=t,socket=/s,root=/a", "tag=u,socket=/u,root=/ab"));
        config(List.of("a=malloc:64M", "b=malloc:64M"), List.of("tag=t,socket=/s,bdev=a", "tag=u,socket=/u,bdev=b"));
    }

    @Test
    void shouldRefuseToMountOverWhatTheTargetItselfUses() {
        assertRefused("the store", List.of("file:/m/sub/store,size=1G"), List.of("tag=t,mount=/m"));
        assertRefused("the socket", List.of("malloc:64M"), List.of("tag=t,mount=/m,socket=/m/s"));
        assertRefused(
                "another share",
                List.of("malloc:64M"),
                List.of("tag=t,mount=/m,mode=shared", "tag=u,mount=/m/n,mode=shared"));
        config(List.of("file:/mm/store,size=1G"), List.of("tag=t,mount=/m,socket=/ms"));
    }

    @Test
    void shouldReadAConfigurationFileAsOptions(@TempDir Path directory) throws Exception {
        Path file = Files.writeString(
                directory.resolve("c"),
                "# a comment\n\nbdev = malloc:64M\nshare= tag=t,socket=/s \ncpumask =[1,2]\ncreate = true\n");
        assertEquals(
                List.of("--bdev=malloc:64M", "--share=tag=t,socket=/s", "--cpumask=[1,2]", "--create=true"),
                ConfigFile.readOptions(file));
    }

    @Test
    void shouldNameTheLineOfAConfigurationFileThatIsWrong(@TempDir Path directory) throws Exception {
        Path file = Files.writeString(directory.resolve("c"), "bdev = malloc:64M\ncolour = red\n");
        ConfigException e = assertThrows(ConfigException.class, () -> ConfigFile.readOptions(file));
        assertTrue(String.valueOf(e.getMessage()).contains("c:2"), e::getMessage);
    }
}

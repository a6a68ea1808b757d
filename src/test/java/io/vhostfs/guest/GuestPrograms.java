package io.vhostfs.guest;

import io.vhostfs.hostmount.SystemCalls;
import io.vhostfs.os.Libc;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.platform.commons.JUnitException;
import org.opentest4j.AssertionFailedError;

/**
 * Programs of the tests' own class path, as they run in a guest: what they need of it travels in jars, and
 * {@code ci/guest/program.sh} runs them with the guest's Java runtime. The same programs run on the host.
 */
final class GuestPrograms {
    private static final String SCRIPT = "ci/guest/program.sh";
    private static final List<String> PACKAGES = List.of("io/vhostfs/os", "io/vhostfs/hostmount", "io/vhostfs/guest");

    private final Path guest;
    private final List<Path> jars = new ArrayList<>();

    /**
     * Makes the guest that has a Java runtime, and the jars.
     *
     * @param directory where they go
     */
    GuestPrograms(Path directory) throws IOException, InterruptedException {
        guest = Guest.prepareWithJava();
        List<Class<?>> needed = List.of(
                SystemCalls.class, Libc.class, Assertions.class, JUnitException.class, AssertionFailedError.class);
        for (Class<?> type : needed) {
            Path origin = origin(type);
            jars.add(Files.isDirectory(origin) ? jar(origin, directory.resolve(jars.size() + ".jar")) : origin);
        }
    }

    private static Path origin(Class<?> type) {
        try {
            return Path.of(
                    type.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Path jar(Path classes, Path jar) throws IOException {
        try (OutputStream out = Files.newOutputStream(jar);
                JarOutputStream entries = new JarOutputStream(out)) {
            entries.setLevel(0); // unpacking costs an emulated processor more than reading
            for (String part : PACKAGES) {
                if (!Files.isDirectory(classes.resolve(part))) {
                    continue;
                }
                try (Stream<Path> files = Files.walk(classes.resolve(part))) {
                    for (Path file : files.filter(Files::isRegularFile).toList()) {
                        entries.putNextEntry(
                                new JarEntry(classes.relativize(file).toString()));
                        Files.copy(file, entries);
                    }
                }
            }
        }
        return jar;
    }

    /** Options of runguest for a guest in which programs run. */
    List<String> options() {
        List<String> options = new ArrayList<>(List.of("--guest", guest.toString()));
        for (Path jar : jars) {
            options.addAll(List.of("--file", jar + ":/app/" + jars.indexOf(jar) + ".jar"));
        }
        return options;
    }

    /** The script that runs a program in a guest that has these shares, each at {@code /mnt/TAG}. */
    static List<String> script(String tags, Class<?> program, String... arguments) {
        List<String> script = new ArrayList<>(List.of(Installation.file(SCRIPT).toString(), tags, program.getName()));
        script.addAll(List.of(arguments));
        return script;
    }

    /** How to run a program on the host: the emulated processors need the time more. */
    static List<String> command(Class<?> program, String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                "nice",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xmx128m",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                program.getName()));
        command.addAll(List.of(arguments));
        return command;
    }
}

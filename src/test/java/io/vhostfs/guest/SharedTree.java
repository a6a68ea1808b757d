package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.hostmount.MountedTarget;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** One tree in {@code mode=shared} that two guests and the host have mounted, each with a program at work there. */
final class SharedTree {
    /** Their tags, which are their names, too. */
    static final List<String> GUESTS = List.of("ann", "bob");

    static final String HOST = "host";

    private final Path directory;
    private final Path mount;
    private final GuestPrograms programs;
    private final MountedTarget target;
    private final List<Place> places = new ArrayList<>();

    private SharedTree(Path directory, Path mount, GuestPrograms programs, MountedTarget target) {
        this.directory = directory;
        this.mount = mount;
        this.programs = programs;
        this.target = target;
    }

    /** Starts the target. */
    static SharedTree start(Path directory) throws IOException, InterruptedException {
        GuestPrograms programs = new GuestPrograms(directory);
        Path mount = Files.createDirectory(directory.toRealPath().resolve(HOST));
        List<String> options = new ArrayList<>(List.of("--bdev", device(directory)));
        for (String tag : GUESTS) {
            options.addAll(List.of("--share", "tag=" + tag + ",mode=shared,socket=" + socket(directory, tag)));
        }
        options.addAll(List.of("--share", "tag=" + HOST + ",mode=shared,mount=" + mount));
        MountedTarget target = MountedTarget.start(directory, options.toArray(new String[0]));
        return new SharedTree(directory, mount, programs, target);
    }

    private static String device(Path directory) {
        return "file:" + directory.resolve("store") + ",size=1G";
    }

    private static Path socket(Path directory, String tag) {
        return directory.resolve(tag + ".sock");
    }

    /** The tree as the host sees it. */
    Path mount() {
        return mount;
    }

    /** Starts a program in both guests and on the host, which get the directory as their first argument. */
    List<Place> run(Class<?> program, long limitSeconds, String... arguments) throws IOException, InterruptedException {
        for (String tag : GUESTS) {
            List<String> options = new ArrayList<>(programs.options());
            options.addAll(List.of("--fs", tag + "=" + socket(directory, tag)));
            List<String> script = GuestPrograms.script(tag, program, arguments(Path.of("/mnt", tag), arguments));
            places.add(Place.inGuest(tag, directory, limitSeconds, options, script));
        }
        places.add(Place.onHost(HOST, GuestPrograms.command(program, arguments(mount, arguments))));
        return List.copyOf(places);
    }

    private static String[] arguments(Path where, String... others) {
        List<String> all = new ArrayList<>(List.of(where.toString()));
        all.addAll(List.of(others));
        return all.toArray(new String[0]);
    }

    /** Stops the target and checks the store. */
    void stopAndCheck() throws IOException, InterruptedException {
        assertEquals(0, target.stop(), target::log);
        MountedTarget.check(directory, device(directory));
    }

    void close() throws IOException, InterruptedException {
        places.forEach(Place::close);
        target.close();
        MountedTarget.detach(mount);
    }
}

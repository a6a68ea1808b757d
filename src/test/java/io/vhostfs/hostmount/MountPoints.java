package io.vhostfs.hostmount;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * The mount points of one test, in its directory.
 *
 * <p>Invariant: after the test nothing is mounted there, which would keep the directory from being removed, and the
 * kernel's parameter for io_uring is as it was. The test's thread.
 */
final class MountPoints implements AfterEachCallback {
    private final List<Path> made = new ArrayList<>();

    /** Makes a directory to mount at, which other users reach, too. */
    Path make(Path directory, String name) throws IOException {
        Path point = Files.createDirectory(directory.toRealPath().resolve(name));
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
        made.add(point);
        return point;
    }

    @Override
    public void afterEach(ExtensionContext context) throws IOException, InterruptedException {
        for (Path point : made) {
            MountedTarget.detach(point);
        }
        MountMode.restore();
    }
}

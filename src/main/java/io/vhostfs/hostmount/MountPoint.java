package io.vhostfs.hostmount;

import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.FileStatus;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The directory of one mount: made ready, mounted on, and cleared again.
 *
 * <p>Control threads only. What may send requests to the mounted file system itself ({@link #unmount}) runs on a thread
 * that holds no channel open: if the process is killed meanwhile, the channels close, and the kernel fails the requests
 * instead of waiting for answers from a process that waits for it.
 */
final class MountPoint {
    private static final Logger LOG = LoggerFactory.getLogger(MountPoint.class);

    /** The file system's type in the table of mounts; the kernel takes what follows the dot as a name. */
    private static final String TYPE = "fuse.vhostfs";

    /** Dead mounts that lie on each other at one directory: each is of a target that was killed. */
    private static final int MAX_DEAD_MOUNTS = 64;

    private final Path directory;
    private String device = "";

    private MountPoint(Path directory) {
        this.directory = directory;
    }

    /**
     * The mount point at {@code directory}; mounts that killed targets have left there are cleared away.
     *
     * @throws HostMountException when it is no directory, or a target that runs is mounted there
     */
    static MountPoint at(Path directory) throws IOException {
        Path absolute = directory.toAbsolutePath().normalize();
        Path parent = absolute.getParent();
        if (parent == null) {
            throw new HostMountException(directory + " is the root directory; remedy: mount= names another one");
        }
        try {
            // Only the parent: of a dead mount nothing can be asked.
            absolute = parent.toRealPath().resolve(absolute.getFileName());
        } catch (IOException e) {
            throw new HostMountException(directory + ": " + parent + " is not there; remedy: make the directory first");
        }
        for (int i = 0; i < MAX_DEAD_MOUNTS && clearDead(absolute); i++) {
            LOG.warn("{}: cleared the mount of a target that was killed", absolute);
        }
        FileStatus status = FileStatus.ofPath(absolute.toString());
        if (status.errno() != 0 || !status.isType(LibcConstants.S_IFDIR)) {
            String problem = status.errno() != 0 ? Errno.name(status.errno()) : "is no directory";
            throw new HostMountException(directory + ": " + problem + "; remedy: make the directory first");
        }
        return new MountPoint(absolute);
    }

    /** Whether a dead mount was there; it no longer is. */
    private static boolean clearDead(Path directory) throws IOException {
        MountTable.Entry entry = MountTable.read().at(directory);
        if (entry == null || !entry.type().equals(TYPE)) {
            return false;
        }
        // What the kernel remembers of an exclusive share would outlive its target by a day.
        int errno = FileStatus.ofPathNow(directory.toString()).errno();
        // ECONNABORTED: queues of io_uring end later than their process, and the kernel has only now noticed.
        if (errno != -Errno.ENOTCONN && errno != -Errno.ECONNABORTED) {
            throw new HostMountException(directory + " is the mount of a target that runs; remedy: stop that one, or"
                    + " give another directory");
        }
        check(directory, "umount", unmount(directory.toString(), LibcConstants.MNT_DETACH));
        return true;
    }

    Path directory() {
        return directory;
    }

    /**
     * Mounts the file system whose channel is {@code fd}.
     *
     * @param source what the table of mounts calls it
     * @param privileged whether set-user-ID bits and device files mean something there
     */
    void mount(int fd, String source, boolean privileged) throws IOException {
        int flags = privileged ? 0 : LibcConstants.MS_NOSUID | LibcConstants.MS_NODEV;
        String options = "fd=" + fd + ",rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other";
        int status = CString.with(
                source,
                s -> CString.with(
                        directory.toString(),
                        d -> CString.with(TYPE, t -> CString.with(options, o -> Libc.mount(s, d, t, flags, o)))));
        if (status == -Errno.EPERM) {
            throw new HostMountException(directory + ": mount: EPERM; remedy: run as root (CAP_SYS_ADMIN)");
        }
        check(directory, "mount", status);
        MountTable.Entry entry = MountTable.read().at(directory);
        if (entry == null || !entry.type().equals(TYPE)) {
            throw new HostMountException(directory + ": the mount is not in the table of mounts");
        }
        device = entry.device();
    }

    /**
     * Unmounts, wherever the file system was moved or bound to. What is busy is written back and detached: it is no longer
     * seen, and ends for those that have files open there as soon as the channels close.
     *
     * @param fds file descriptors of what answers requests, and goes on with it meanwhile
     */
    void unmount(List<Integer> fds) throws InterruptedException {
        Thread thread = Thread.ofPlatform().name("unmount").start(() -> {
            if (Libc.unshare(LibcConstants.CLONE_FILES) == 0) {
                for (int fd : fds) {
                    Libc.close(fd);
                }
            }
            try {
                unmountAll();
            } catch (IOException e) {
                LOG.error("{}: cannot be unmounted: {}", directory, e.toString());
            }
        });
        thread.join();
    }

    private void unmountAll() throws IOException {
        for (String place : MountTable.read().directoriesOf(device)) {
            int status = unmount(place, LibcConstants.UMOUNT_NOFOLLOW);
            if (status == -Errno.EBUSY) {
                LOG.warn("{} is busy: detached; whoever still has files open there gets ENOTCONN from now on", place);
                syncFileSystem(place);
                status = unmount(place, LibcConstants.MNT_DETACH | LibcConstants.UMOUNT_NOFOLLOW);
            }
            // EINVAL: somebody else has just unmounted it.
            if (status < 0 && status != -Errno.EINVAL) {
                LOG.error("{}: umount: {}; remedy: umount -l {}", place, Errno.name(status), place);
            }
        }
    }

    /** What the kernel has collected in its cache would be lost when the channels close. */
    private static void syncFileSystem(String place) {
        int flags = LibcConstants.O_RDONLY | LibcConstants.O_DIRECTORY | LibcConstants.O_CLOEXEC;
        int fd = CString.with(place, p -> Libc.open(p, flags, 0));
        int status = fd < 0 ? fd : Libc.syncfs(fd);
        if (fd >= 0) {
            Libc.close(fd);
        }
        if (status < 0) {
            LOG.error("{}: not all data could be written back: {}", place, Errno.name(status));
        }
    }

    private static int unmount(String place, int flags) {
        return CString.with(place, p -> Libc.umount2(p, flags));
    }

    private static void check(Path directory, String call, int status) throws HostMountException {
        if (status < 0) {
            throw new HostMountException(directory + ": " + call + ": " + Errno.name(status));
        }
    }
}

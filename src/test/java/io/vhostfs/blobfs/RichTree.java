package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.bdev.ImageDevice;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.os.LibcConstants;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * A file system with everything in it: directories in each other, some with a quota, files of all sorts, links, attributes, devices, an inode
 * without a name, and a log with records that the last checkpoint does not hold.
 */
final class RichTree {
    private static final int FILES_PER_DIRECTORY = 12;

    final ImageDevice device;
    private final Random random;
    private final FsFixture fixture;
    private final FsTestClient client;
    private final boolean hasClones;
    final List<Long> directories = new ArrayList<>();
    final List<Long> files = new ArrayList<>();
    private final List<Long> clones = new ArrayList<>();

    /** The root slots with their copies as the checkpoint before the last left them. */
    byte[] olderSlots = new byte[0];

    /** @param files how many regular files, about */
    RichTree(int deviceBytes, int files, long seed) {
        this(deviceBytes, 0, files, seed, false);
    }

    RichTree(int deviceBytes, int logBytes, int files, long seed) {
        this(deviceBytes, logBytes, files, seed, false);
    }

    /** One with files that share blocks, too. */
    static RichTree withClones(int deviceBytes, int files, long seed) {
        return new RichTree(deviceBytes, 0, files, seed, true);
    }

    private RichTree(int deviceBytes, int logBytes, int files, long seed, boolean hasClones) {
        this.hasClones = hasClones;
        device = new ImageDevice(deviceBytes);
        random = new Random(seed);
        fixture = new FsFixture(device, StoreOptions.DEFAULT.withMetaCacheBytes(16 << 20), logBytes);
        client = fixture.newClient();
        directories.add(FileSystem.ROOT_INODE);
        for (int i = 0; this.files.size() < files; i++) {
            long parent = directories.get(random.nextInt(directories.size()));
            long directory = client.mkdir(parent, "dir" + i);
            if (i % 4 == 1) {
                fixture.setQuota(directory, 1 << 30, i);
                fixture.setQuota(directory, 1 << 30, 0);
            }
            addDirectory(directory);
            if (i % 5 == 4) {
                checkpoint();
            }
        }
        checkpoint();
    }

    private void checkpoint() {
        olderSlots = device.read(2, 4);
        fixture.checkpoint();
    }

    private void addDirectory(long directory) {
        directories.add(directory);
        for (int i = 0; i < FILES_PER_DIRECTORY; i++) {
            files.add(file(directory, "file" + i, random.nextInt(8)));
        }
        if (hasClones) {
            addClones(directory);
        }
        client.trySymlink(directory, "short", "../file1");
        client.trySymlink(directory, "long", "x/".repeat(2000));
        client.tryLink(files.getLast(), directory, "hard link");
        client.trySetxattr(files.getLast(), "user.big", bytes(9000), 0);
        client.trySetxattr(directory, "user.small", bytes(20), 0);
        client.request.inode = directory;
        client.request.mode = 0x2180;
        client.request.deviceNumber = 0x103;
        client.request.setName("device");
        assertEquals(0, client.call(FsOp.MKNOD));
    }

    /** Two files that share blocks with another one, and each has some of its own. */
    private void addClones(long directory) {
        long source = client.create(directory, "source");
        client.write(source, 0, bytes(20_000));
        for (int i = 0; i < 2; i++) {
            long clone = client.create(directory, "clone" + i);
            assertEquals(12_288, client.cloneRange(source, 4096L * i, clone, 0, 12_288));
            client.write(clone, 4096, bytes(3000));
            clones.add(clone);
        }
    }

    private byte[] bytes(int length) {
        byte[] b = new byte[length];
        random.nextBytes(b);
        return b;
    }

    private long file(long directory, String name, int kind) {
        long inode = client.create(directory, name);
        switch (kind) {
            case 0 -> {}
            case 1, 2, 3, 4 -> client.write(inode, 0, bytes(500 + random.nextInt(1500)));
            case 5 -> client.write(inode, 0, bytes(5000 + random.nextInt(10_000)));
            case 6 -> {
                client.write(inode, 0, bytes(4096));
                client.write(inode, 40_000, bytes(3000));
                assertEquals(0, client.fallocate(inode, LibcConstants.FALLOC_FL_KEEP_SIZE, 60_000, 20_000));
            }
            default -> client.write(inode, 100_000, bytes(100));
        }
        return inode;
    }

    /** Leaves an inode that is open and has no name. */
    void addOrphan() {
        long inode = client.create(FileSystem.ROOT_INODE, "to be removed");
        client.write(inode, 0, bytes(30_000));
        client.open(inode);
        assertEquals(0, client.tryUnlink(FileSystem.ROOT_INODE, "to be removed"));
    }

    /** One record of the log with changes of several kinds. */
    void logRecord(int number) {
        long directory = directories.get(random.nextInt(directories.size()));
        long inode = file(directory, "late" + number, 1 + number % 7);
        long some = files.get(random.nextInt(files.size()));
        client.write(some, 0, bytes(10 + random.nextInt(1000)));
        client.trySetxattr(inode, "user.late", bytes(100 + number % 3 * 4000), 0);
        client.tryRename(directory, "file" + number % 12, directory, "renamed" + number, 0);
        client.tryUnlink(directory, "short");
        if (number % 3 == 1) {
            client.truncate(some, 5000);
        }
        if (hasClones) {
            int pair = 2 * (number % (clones.size() / 2));
            client.cloneRange(clones.get(pair), 0, clones.get(pair + 1), 8192, 8192);
        }
        assertEquals(0, client.fsync(inode, false));
    }

    /** As a crash leaves it; what was not synced is not there. */
    void crash() {
        fixture.crash();
    }

    void unmount() {
        fixture.unmount();
    }
}

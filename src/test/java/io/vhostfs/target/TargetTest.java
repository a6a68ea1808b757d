package io.vhostfs.target;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.target.TestTargets.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.frontend.FrontEnd;
import io.vhostfs.frontend.FuseClient;
import io.vhostfs.frontend.FuseErrnoException;
import io.vhostfs.fuse.FuseWire;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.CoreMask;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whole targets in this process, driven through their sockets and rings as guests drive them. */
class TargetTest {
    @TempDir
    Path directory;

    @Test
    void dataAndNamesFollowTheRequestsOfAGuest() throws Exception {
        try (Target target = start("malloc:64M", share(directory, "t", ""));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            FuseClient fuse = guest.fuse;
            FuseClient.Entry dir = fuse.mkdir(FuseClient.ROOT, "dir", 0755);
            byte[] data = random(1, 1 << 20);
            FuseClient.Handle file = fuse.create(dir.nodeid(), "a", O_RDWR, S_IFREG | 0640);
            assertEquals(data.length, fuse.write(file.nodeid(), file.fh(), 4096, data));
            byte[] patch = random(2, 10_000);
            assertEquals(patch.length, fuse.write(file.nodeid(), file.fh(), 4096 + 5_001, patch));
            System.arraycopy(patch, 0, data, 5_001, patch.length);
            assertArrayEquals(data, fuse.read(file.nodeid(), file.fh(), 4096, data.length));
            assertArrayEquals(new byte[4096], fuse.read(file.nodeid(), file.fh(), 0, 4096));
            assertArrayEquals(
                    Arrays.copyOfRange(data, 77, 77 + 6_000), fuse.read(file.nodeid(), file.fh(), 4096 + 77, 6_000));
            assertEquals(0, fuse.read(file.nodeid(), file.fh(), 4096 + data.length, 4096).length);
            fuse.fsync(file.nodeid(), file.fh(), true);
            fuse.fsync(file.nodeid(), file.fh(), false);

            fuse.fallocate(file.nodeid(), file.fh(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 8192);
            Arrays.fill(data, 4096, 4096 + 8192, (byte) 0);
            assertArrayEquals(data, fuse.read(file.nodeid(), file.fh(), 4096, data.length));
            assertEquals(8192, fuse.lseek(file.nodeid(), file.fh(), 4096, SEEK_HOLE));
            assertEquals(16384, fuse.lseek(file.nodeid(), file.fh(), 8192, SEEK_DATA));

            fuse.rename(dir.nodeid(), "a", FuseClient.ROOT, "b", 0);
            assertErrno(Errno.ENOENT, () -> fuse.lookup(dir.nodeid(), "a"));
            assertEquals(file.nodeid(), fuse.lookup(FuseClient.ROOT, "b").nodeid());
            assertEquals(
                    2, fuse.link(file.nodeid(), dir.nodeid(), "c").attributes().nlink());
            assertEquals(
                    "../b",
                    fuse.readlink(fuse.symlink(dir.nodeid(), "l", "../b").nodeid()));
            assertErrno(Errno.ENOTEMPTY, () -> fuse.rmdir(FuseClient.ROOT, "dir"));
            assertEquals(0600, fuse.chmod(file.nodeid(), 0600).mode() & 07777);

            byte[] value = random(3, 3_000);
            fuse.setxattr(file.nodeid(), "user.v", value, 0);
            assertArrayEquals(value, fuse.getxattr(file.nodeid(), "user.v", 4096));
            assertEquals("user.v\0", new String(fuse.listxattr(file.nodeid(), 4096), StandardCharsets.UTF_8));
            assertErrno(Errno.EEXIST, () -> fuse.setxattr(file.nodeid(), "user.v", value, XATTR_CREATE));
            fuse.removexattr(file.nodeid(), "user.v");
            assertErrno(Errno.ENODATA, () -> fuse.getxattr(file.nodeid(), "user.v", 4096));

            fuse.unlink(FuseClient.ROOT, "b");
            fuse.unlink(dir.nodeid(), "c");
            assertArrayEquals(
                    data, fuse.read(file.nodeid(), file.fh(), 4096, data.length), "an open file outlives its names");
            assertEquals(12_345, fuse.truncate(file.nodeid(), 12_345).size());
            assertEquals(12_345 - 4096, fuse.read(file.nodeid(), file.fh(), 4096, data.length).length);
            fuse.release(file.nodeid(), file.fh(), O_RDWR);
            fuse.syncfs();
            assertEquals(255, fuse.statfs().namelen());
            assertEquals(Set.of("dir"), names(fuse, FuseClient.ROOT));
            assertEquals(Set.of("l"), names(fuse, dir.nodeid()));
            fuse.destroy();
        }
    }

    @Test
    void aDirectoryOfManyEntriesIsListedWholeWhileItChanges() throws Exception {
        try (Target target = start("malloc:64M", share(directory, "t", ""));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            FuseClient fuse = guest.fuse;
            Set<String> expected = new TreeSet<>();
            for (int i = 0; i < 500; i++) {
                String name = "entry-" + i + "-" + "x".repeat(i % 50);
                makeFile(fuse, FuseClient.ROOT, name, new byte[0]);
                expected.add(name);
            }
            assertEquals(expected, names(fuse, FuseClient.ROOT));
            for (String name : List.copyOf(expected)) {
                if (name.hashCode() % 3 == 0) {
                    fuse.unlink(FuseClient.ROOT, name);
                    expected.remove(name);
                }
            }
            assertEquals(expected, names(fuse, FuseClient.ROOT));
        }
    }

    private static byte[] lock(RawQueue raw, int opcode, FuseClient.Handle file, int type) {
        ByteBuffer body = ByteBuffer.allocate(FuseWire.FUSE_LK_IN_SIZE).order(ByteOrder.LITTLE_ENDIAN);
        body.putLong(file.fh()).putLong(1).putLong(0).putLong(99).putInt(type);
        return raw.message(opcode, file.nodeid(), body.array());
    }

    @Test
    void guestsExcludeEachOtherByLocksAndOneThatWaitsCanBeStopped() throws Exception {
        try (Target target = start(
                        "malloc:64M",
                        share(directory, "one", ",mode=shared"),
                        share(directory, "two", ",mode=shared"));
                Guest one = Guest.mount(socket(directory, "one"));
                Guest two = Guest.mount(socket(directory, "two"))) {
            assertNotNull(target);
            makeFile(one.fuse, FuseClient.ROOT, "file", new byte[10]);
            long nodeid = one.fuse.lookup(FuseClient.ROOT, "file").nodeid();
            FuseClient.Handle fileOfOne = one.fuse.open(nodeid, O_RDWR);
            two.fuse.lookup(FuseClient.ROOT, "file");
            FuseClient.Handle fileOfTwo = two.fuse.open(nodeid, O_RDWR);
            RawQueue queueOfOne = new RawQueue(one.frontEnd, FrontEnd.REQUEST_QUEUE);
            RawQueue queueOfTwo = new RawQueue(two.frontEnd, FrontEnd.REQUEST_QUEUE);
            assertEquals(0, queueOfOne.call(lock(queueOfOne, FUSE_SETLK, fileOfOne, F_WRLCK), 16));
            assertEquals(-Errno.EAGAIN, queueOfTwo.call(lock(queueOfTwo, FUSE_SETLK, fileOfTwo, F_RDLCK), 16));
            queueOfTwo.send(lock(queueOfTwo, FUSE_SETLKW, fileOfTwo, F_RDLCK), 16);
            assertEquals(0, queueOfOne.call(lock(queueOfOne, FUSE_SETLK, fileOfOne, F_UNLCK), 16));
            queueOfTwo.await();
            assertEquals(0, queueOfTwo.error());

            queueOfOne.send(lock(queueOfOne, FUSE_SETLKW, fileOfOne, F_WRLCK), 16);
            assertEquals(0, queueOfTwo.call(lock(queueOfTwo, FUSE_SETLK, fileOfTwo, F_RDLCK), 16));
            one.frontEnd.stopQueue(FrontEnd.REQUEST_QUEUE);
            queueOfOne.await();
            assertEquals(-Errno.EINTR, queueOfOne.error());
        }
    }

    @Test
    void whatWasWrittenIsThereAfterARestart() throws Exception {
        String device = "file:" + directory.resolve("store") + ",size=64M";
        byte[] data = random(4, 700_000);
        try (Target target = start(device, share(directory, "t", ""));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            long dir = guest.fuse.mkdir(FuseClient.ROOT, "dir", 0755).nodeid();
            makeFile(guest.fuse, dir, "big", data);
            makeFile(guest.fuse, dir, "small", Arrays.copyOf(data, 100));
            guest.fuse.setxattr(dir, "user.x", new byte[] {1, 2, 3}, 0);
            FuseClient.Handle orphan = guest.fuse.create(dir, "orphan", O_RDWR, S_IFREG | 0600);
            guest.fuse.write(orphan.nodeid(), orphan.fh(), 0, data);
            guest.fuse.unlink(dir, "orphan");
        }
        assertFalse(Files.exists(socket(directory, "t")), "the socket goes with its target");
        for (int restart = 0; restart < 2; restart++) {
            try (Target target = start(device, share(directory, "t", ""));
                    Guest guest = Guest.mount(socket(directory, "t"))) {
                assertNotNull(target);
                long dir = guest.fuse.lookup(FuseClient.ROOT, "dir").nodeid();
                assertEquals(Set.of("big", "small"), names(guest.fuse, dir));
                assertArrayEquals(data, readFile(guest.fuse, dir, "big"));
                assertArrayEquals(Arrays.copyOf(data, 100), readFile(guest.fuse, dir, "small"));
                assertArrayEquals(new byte[] {1, 2, 3}, guest.fuse.getxattr(dir, "user.x", 16));
            }
        }
    }

    @Test
    void aShareOfADirectoryShowsNothingElse() throws Exception {
        String device = "file:" + directory.resolve("store") + ",size=64M";
        try (Target target = start(device, share(directory, "all", ""));
                Guest guest = Guest.mount(socket(directory, "all"))) {
            assertNotNull(target);
            long sub = guest.fuse.mkdir(FuseClient.ROOT, "sub", 0755).nodeid();
            guest.fuse.mkdir(sub, "below", 0755);
        }
        try (Target target = start(
                        device,
                        share(directory, "all", ",mode=shared"),
                        share(directory, "part", ",mode=shared,root=/sub"));
                Guest all = Guest.mount(socket(directory, "all"));
                Guest part = Guest.mount(socket(directory, "part"))) {
            assertNotNull(target);
            long outside = makeFile(all.fuse, FuseClient.ROOT, "secret", random(5, 5_000));
            long sub = all.fuse.lookup(FuseClient.ROOT, "sub").nodeid();
            long shown = makeFile(all.fuse, sub, "shown", random(6, 5_000));
            FuseClient fuse = part.fuse;

            assertEquals(Set.of("below", "shown"), names(fuse, FuseClient.ROOT));
            assertArrayEquals(random(6, 5_000), readFile(fuse, FuseClient.ROOT, "shown"));
            assertErrno(Errno.ENOENT, () -> fuse.lookup(FuseClient.ROOT, "secret"));
            assertEquals(FuseClient.ROOT, fuse.lookup(FuseClient.ROOT, "..").nodeid());
            long below = fuse.lookup(FuseClient.ROOT, "below").nodeid();
            assertErrno(Errno.ESTALE, () -> fuse.lookup(below, ".."));

            for (long foreign : new long[] {outside, sub, shown}) {
                String what = "a nodeid that the guest was not given: " + foreign;
                assertErrno(Errno.ESTALE, () -> fuse.getattr(foreign));
                assertErrno(Errno.ESTALE, () -> fuse.open(foreign, O_RDONLY));
                assertErrno(Errno.ESTALE, () -> fuse.truncate(foreign, 0));
                assertErrno(Errno.ESTALE, () -> fuse.lookup(foreign, "shown"));
                assertErrno(Errno.ESTALE, () -> fuse.link(foreign, FuseClient.ROOT, "mine"));
                assertErrno(Errno.ESTALE, () -> fuse.rename(FuseClient.ROOT, "shown", foreign, "x", 0));
                assertErrno(Errno.EBADF, () -> fuse.read(foreign, 1, 0, 4096));
                assertEquals(Set.of("below", "shown"), names(fuse, FuseClient.ROOT), what);
            }
            assertArrayEquals(random(5, 5_000), readFile(all.fuse, FuseClient.ROOT, "secret"));
        }
    }

    @Test
    void sharesOfOneStoreSeeEachOtherAndThoseOfAnotherDoNot() throws Exception {
        TargetConfig config = config(
                List.of("a=malloc:32M", "b=malloc:32M"),
                share(directory, "one", ",bdev=a,mode=shared"),
                share(directory, "two", ",bdev=a,mode=shared"),
                share(directory, "other", ",bdev=b"));
        try (Target target = Target.start(config);
                Guest one = Guest.mount(socket(directory, "one"));
                Guest two = Guest.mount(socket(directory, "two"));
                Guest other = Guest.mount(socket(directory, "other"))) {
            assertNotNull(target);
            byte[] data = random(7, 300_000);
            long nodeid = makeFile(one.fuse, FuseClient.ROOT, "file", data);
            makeFile(other.fuse, FuseClient.ROOT, "elsewhere", new byte[10]);
            assertArrayEquals(data, readFile(two.fuse, FuseClient.ROOT, "file"));
            assertEquals(Set.of("elsewhere"), names(other.fuse, FuseClient.ROOT));

            FuseClient.Handle open = one.fuse.open(nodeid, O_RDONLY);
            assertErrno(
                    Errno.EBADF,
                    () -> two.fuse.read(two.fuse.lookup(FuseClient.ROOT, "file").nodeid(), open.fh() + 77, 0, 4096));
            two.fuse.unlink(FuseClient.ROOT, "file");
            assertArrayEquals(
                    data,
                    one.fuse.read(nodeid, open.fh(), 0, data.length),
                    "one guest has open what the other removes");
            assertErrno(Errno.ENOENT, () -> one.fuse.lookup(FuseClient.ROOT, "file"));
        }
    }

    @Test
    void aNewFrontEndStartsAfreshWhereAnotherWas() throws Exception {
        try (Target target = start("malloc:64M", share(directory, "t", ""))) {
            assertNotNull(target);
            byte[] data = random(8, 100_000);
            long nodeid;
            long fh;
            try (Guest first = Guest.mount(socket(directory, "t"))) {
                nodeid = makeFile(first.fuse, FuseClient.ROOT, "file", data);
                fh = first.fuse.open(nodeid, O_RDWR).fh();
            }
            try (FrontEnd frontEnd = FrontEnd.connect(socket(directory, "t"), Guest.OPTIONS)) {
                FuseClient fuse = new FuseClient(frontEnd);
                assertErrno(Errno.EIO, () -> fuse.getattr(FuseClient.ROOT));
                fuse.init();
                assertErrno(Errno.ESTALE, () -> fuse.getattr(nodeid));
                long known = fuse.lookup(FuseClient.ROOT, "file").nodeid();
                assertErrno(Errno.EBADF, () -> fuse.read(known, fh, 0, 4096));
                assertArrayEquals(data, readFile(fuse, FuseClient.ROOT, "file"));
            }
        }
    }

    @Test
    void aFrontEndThatGoesWithRequestsInFlightLeavesTheSocketToTheNext() throws Exception {
        String device = "file:" + directory.resolve("store") + ",size=64M";
        try (Target target = start(device, share(directory, "t", ""))) {
            assertNotNull(target);
            byte[] data = random(9, 64 << 10);
            try (Guest guest = Guest.mount(socket(directory, "t"))) {
                makeFile(guest.fuse, FuseClient.ROOT, "file", data);
            }
            for (int round = 0; round < 20; round++) {
                try (Guest guest = Guest.mount(socket(directory, "t"))) {
                    long nodeid = guest.fuse.lookup(FuseClient.ROOT, "file").nodeid();
                    long fh = guest.fuse.open(nodeid, O_RDWR).fh();
                    RawQueue raw = new RawQueue(guest.frontEnd, FrontEnd.REQUEST_QUEUE);
                    byte[] body = ByteBuffer.allocate(40 + data.length)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putLong(fh)
                            .putLong(0)
                            .putInt(data.length)
                            .position(40)
                            .put(data)
                            .array();
                    raw.send(raw.message(FUSE_WRITE, nodeid, body), 16 + 8);
                }
            }
            try (Guest guest = Guest.mount(socket(directory, "t"))) {
                assertArrayEquals(data, readFile(guest.fuse, FuseClient.ROOT, "file"));
            }
        }
    }

    @Test
    void aResetDeviceWorksAgainOnTheSameConnection() throws Exception {
        try (Target target = start("malloc:64M", share(directory, "t", ""));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            FuseClient fuse = guest.fuse;
            byte[] data = random(10, 100_000);
            long nodeid = makeFile(fuse, FuseClient.ROOT, "file", data);
            for (int round = 0; round < 3; round++) {
                guest.frontEnd.resetDevice();
                for (int i = 0; i < guest.frontEnd.queueCount(); i++) {
                    guest.frontEnd.startQueue(i);
                    guest.frontEnd.enableQueue(i, true);
                }
                assertErrno(Errno.EIO, () -> fuse.lookup(FuseClient.ROOT, "file"));
                fuse.init();
                assertErrno(Errno.ESTALE, () -> fuse.getattr(nodeid));
                assertArrayEquals(data, readFile(fuse, FuseClient.ROOT, "file"));
            }
        }
    }

    @Test
    void aSecondInitForgetsTheFirstMount() throws Exception {
        try (Target target = start("malloc:64M", share(directory, "t", ""));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            long nodeid = makeFile(guest.fuse, FuseClient.ROOT, "file", new byte[100]);
            guest.fuse.init();
            assertErrno(Errno.ESTALE, () -> guest.fuse.getattr(nodeid));
            guest.fuse.destroy();
            assertErrno(Errno.EIO, () -> guest.fuse.getattr(FuseClient.ROOT));
            guest.fuse.init();
            assertEquals(Set.of("file"), names(guest.fuse, FuseClient.ROOT));
        }
    }

    @Test
    void queuesOnSeveralReactorsServeTheSameFilesAtOnce() throws Exception {
        int[] cores = CoreMask.allowed().cores();
        String mask =
                Arrays.stream(cores).limit(2).mapToObj(Integer::toString).collect(Collectors.joining(",", "[", "]"));
        TargetConfig config = config(mask, List.of("malloc:64M"), share(directory, "t", ",queues=2"));
        try (Target target = Target.start(config);
                Guest guest = Guest.mount(socket(directory, "t"), Guest.OPTIONS.withRequestQueues(2));
                ExecutorService threads = Executors.newFixedThreadPool(2)) {
            assertNotNull(target);
            FuseClient.Handle file = guest.fuse.create(FuseClient.ROOT, "file", O_RDWR, S_IFREG | 0644);
            StampedBlocks[] writers = {
                new StampedBlocks(new RawQueue(guest.frontEnd, 1), file, 0),
                new StampedBlocks(new RawQueue(guest.frontEnd, 2), file, 1)
            };
            List<Future<Void>> ends = Stream.of(writers)
                    .map(w -> threads.submit((Callable<Void>) w))
                    .toList();
            for (Future<Void> end : ends) {
                end.get();
            }
            for (StampedBlocks writer : writers) {
                writer.check(guest.fuse);
            }
            assertEquals(
                    Stream.of(writers).flatMap(w -> w.names.stream()).collect(Collectors.toSet()),
                    names(guest.fuse, FuseClient.ROOT).stream()
                            .filter(n -> n.startsWith("made-"))
                            .collect(Collectors.toSet()));
        }
    }

    /** Writes every other block of a file, reads all of them, makes and removes names: from one queue, one thread. */
    private static final class StampedBlocks implements Callable<Void> {
        private static final int BLOCKS = 32;
        private static final int ROUNDS = 300;
        private static final int BLOCK_BYTES = 4096;

        private final RawQueue queue;
        private final FuseClient.Handle file;
        private final int own;
        private final int[] stamps = new int[BLOCKS];
        final Set<String> names = new TreeSet<>();

        StampedBlocks(RawQueue queue, FuseClient.Handle file, int own) {
            this.queue = queue;
            this.file = file;
            this.own = own;
        }

        @Override
        public Void call() {
            for (int round = 1; round <= ROUNDS; round++) {
                int block = 2 * (round * 7 % (BLOCKS / 2)) + own;
                write(block, round);
                stamps[block] = round;
                assertEquals(round, read(block, true));
                read((block + 1 + 2 * (round % 5)) % BLOCKS, false);
                if (round % 3 == 0) {
                    makeAndRemove(round);
                }
            }
            return null;
        }

        private void write(int block, int stamp) {
            ByteBuffer body = ByteBuffer.allocate(40 + BLOCK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            body.putLong(file.fh())
                    .putLong((long) block * BLOCK_BYTES)
                    .putInt(BLOCK_BYTES)
                    .position(40);
            while (body.hasRemaining()) {
                body.putLong((long) block << 32 | stamp);
            }
            assertEquals(0, queue.call(queue.message(FUSE_WRITE, file.nodeid(), body.array()), 16 + 8));
            assertEquals(BLOCK_BYTES, Memory.getInt(queue.replyBody()));
        }

        /** The stamp of a block; every word of it has to be of that block, and, in an own one, of the same write. */
        private int read(int block, boolean mine) {
            ByteBuffer body = ByteBuffer.allocate(40).order(ByteOrder.LITTLE_ENDIAN);
            body.putLong(file.fh()).putLong((long) block * BLOCK_BYTES).putInt(BLOCK_BYTES);
            assertEquals(0, queue.call(queue.message(FUSE_READ, file.nodeid(), body.array()), 16 + BLOCK_BYTES));
            int bytes = queue.replyLength() - 16;
            assertTrue(bytes == BLOCK_BYTES || (bytes == 0 && !mine), () -> "read " + bytes + " bytes");
            long first = bytes == 0 ? 0 : Memory.getLong(queue.replyBody());
            for (int i = 0; i < bytes; i += 8) {
                long word = Memory.getLong(queue.replyBody() + i);
                assertTrue(word == 0 || word >>> 32 == block, () -> "block " + block + ": " + Long.toHexString(word));
                assertTrue(!mine || word == first, () -> "block " + block + ": torn");
            }
            return (int) first;
        }

        private void makeAndRemove(int round) {
            String name = "made-" + own + "-" + round;
            byte[] encoded = (name + "\0").getBytes(StandardCharsets.UTF_8);
            byte[] body = new byte[16 + encoded.length];
            ByteBuffer.wrap(body).order(ByteOrder.LITTLE_ENDIAN).putInt(S_IFREG | 0600);
            System.arraycopy(encoded, 0, body, 16, encoded.length);
            assertEquals(0, queue.call(queue.message(FUSE_MKNOD, FuseClient.ROOT, body), 16 + 128));
            if (round % 2 == 0) {
                assertEquals(0, queue.call(queue.message(FUSE_UNLINK, FuseClient.ROOT, encoded), 16));
            } else {
                names.add(name);
            }
        }

        void check(FuseClient fuse) throws IOException {
            for (int block = own; block < BLOCKS; block += 2) {
                ByteBuffer data = ByteBuffer.wrap(
                                fuse.read(file.nodeid(), file.fh(), (long) block * BLOCK_BYTES, BLOCK_BYTES))
                        .order(ByteOrder.LITTLE_ENDIAN);
                assertEquals(BLOCK_BYTES, data.limit());
                while (data.hasRemaining()) {
                    assertEquals((long) block << 32 | stamps[block], data.getLong());
                }
            }
        }
    }

    @Test
    void aStartThatFailsNamesTheCauseAndLeavesNothingOpen() throws Exception {
        String device = "file:" + directory.resolve("store") + ",size=64M";
        start(device, share(directory, "t", "")).close();
        Files.writeString(directory.resolve("no-socket"), "text");
        Set<String> before = open();
        try (Target target = start("malloc:32M", share(directory, "taken", ""))) {
            assertNotNull(target);
            assertFails(
                    IOException.class,
                    "taken.sock",
                    device,
                    share(directory, "t", ",mode=shared"),
                    share(directory, "taken", ",mode=shared"));
        }
        assertFails(
                ConfigException.class,
                "root=/none",
                device,
                share(directory, "t", ",mode=shared"),
                share(directory, "u", ",mode=shared,root=/none"));
        assertFails(IOException.class, "no-socket", device, "tag=t,socket=" + directory.resolve("no-socket"));
        assertFails(IOException.class, "nowhere", device, "tag=t,socket=" + directory.resolve("nowhere/t.sock"));
        assertFails(
                BlockDeviceException.class,
                "nowhere",
                "file:" + directory.resolve("nowhere/store"),
                share(directory, "t", ""));
        assertFails(
                RuntimeException.class,
                "no-socket",
                "file:" + directory.resolve("no-socket"),
                share(directory, "t", ""));
        assertEquals(before, open());
        try (Target target = start(device, share(directory, "t", ""));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            assertEquals(Set.of(), names(guest.fuse, FuseClient.ROOT));
        }
    }

    private void assertFails(Class<? extends Exception> kind, String named, String device, String... shares) {
        Exception e = assertThrows(kind, () -> start(device, shares));
        assertTrue(String.valueOf(e.getMessage()).contains(named), () -> "the message names no " + named + ": " + e);
        assertFalse(Files.exists(socket(directory, "t")), "a socket is left");
    }

    /** What this process has open but for jars, and the threads that targets have. */
    private static Set<String> open() throws IOException {
        Set<String> open = new TreeSet<>();
        try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"))) {
            for (Path fd : fds.toList()) {
                try {
                    String target = Files.readSymbolicLink(fd).toString();
                    if (!target.endsWith(".jar") && !target.contains("/proc/")) {
                        open.add(fd.getFileName() + " " + target);
                    }
                } catch (IOException e) {
                    assertFalse(Files.isSymbolicLink(fd), "unreadable: " + fd);
                }
            }
        }
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread.getName().startsWith("reactor") || thread.getName().startsWith("vhost-")) {
                open.add(thread.getName());
            }
        }
        return open;
    }

    @Test
    void anIdleTargetWithAConnectedGuestCostsNextToNothing() throws Exception {
        long begin = System.nanoTime();
        try (Target target = start("malloc:64M", share(directory, "t", ""))) {
            assertNotNull(target);
            System.out.printf("start to socket ready: %d ms%n", (System.nanoTime() - begin) / 1_000_000);
            try (Guest guest = Guest.mount(socket(directory, "t"))) {
                makeFile(guest.fuse, FuseClient.ROOT, "file", random(1, 100_000));
                long reactor = Thread.getAllStackTraces().keySet().stream()
                        .filter(t -> t.getName().equals("reactor"))
                        .mapToLong(Thread::threadId)
                        .findFirst()
                        .orElseThrow();
                long cpu = ManagementFactory.getThreadMXBean().getThreadCpuTime(reactor);
                long start = System.nanoTime();
                // The connection stays silent: the wait ends with its time.
                assertFalse(guest.frontEnd.socket().awaitHangUp(2_000));
                double share = (double) (ManagementFactory.getThreadMXBean().getThreadCpuTime(reactor) - cpu)
                        / (System.nanoTime() - start);
                System.out.printf("idle reactor: %.3f %% of a core%n", 100 * share);
                assertTrue(share < 0.05, () -> "an idle reactor takes " + 100 * share + " % of a core");
                assertEquals(
                        100_000,
                        guest.fuse.lookup(FuseClient.ROOT, "file").attributes().size());
            }
        }
    }

    @Test
    void aFullStoreLosesNothingAndTakesDeletes() throws Exception {
        try (Target target = start("malloc:8M", share(directory, "t", ""));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            FuseClient.Handle file = guest.fuse.create(FuseClient.ROOT, "f", O_RDWR, S_IFREG | 0644);
            FuseErrnoException full = assertThrows(FuseErrnoException.class, () -> {
                for (int i = 0; i < 64; i++) {
                    guest.fuse.write(file.nodeid(), file.fh(), (long) i << 20, random(i, 1 << 20));
                }
            });
            assertEquals(Errno.ENOSPC, full.errno());
            assertArrayEquals(random(0, 1 << 20), guest.fuse.read(file.nodeid(), file.fh(), 0, 1 << 20));
            guest.fuse.release(file.nodeid(), file.fh(), O_RDWR);
            guest.fuse.unlink(FuseClient.ROOT, "f");
            guest.fuse.forget(file.nodeid(), 1);
            makeFile(guest.fuse, FuseClient.ROOT, "again", random(1, 1 << 20));
            assertArrayEquals(random(1, 1 << 20), readFile(guest.fuse, FuseClient.ROOT, "again"));
        }
    }
}

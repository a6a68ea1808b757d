package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseTestClient.*;
import static io.vhostfs.fuse.FuseWire.*;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.MemoryFileSystem;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** COPY_FILE_RANGE: what is shared, what is copied, and where it stops. */
class FileCopyTest {
    private static final int SIZE = 5 * 4096 + 1000;

    private final Reactor reactor = new Reactor("test");
    private final MemoryFileSystem fs = new MemoryFileSystem(reactor);
    private final FuseTestClient client =
            new FuseTestClient(new FuseSession(fs, fs.attach(FileSystem.ROOT_INODE), FuseOptions.exclusive()), reactor);
    private final byte[] content = new byte[SIZE];
    private long source;
    private long sourceHandle;
    private long target;
    private long targetHandle;

    @BeforeEach
    void makeFiles() {
        client.whilePending = fs::completeWaiting;
        client.init();
        new Random(1).nextBytes(content);
        Reply made = client.create(FUSE_ROOT_ID, "source", LibcConstants.O_RDWR).ok();
        source = made.u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        sourceHandle = made.u64(FUSE_ENTRY_OUT_SIZE);
        client.write(source, sourceHandle, 0, content).ok();
        made = client.create(FUSE_ROOT_ID, "target", LibcConstants.O_RDWR).ok();
        target = made.u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        targetHandle = made.u64(FUSE_ENTRY_OUT_SIZE);
        fs.cloneBlockBytes = 4096;
    }

    private Reply copy(long offset, long offset2, long length) {
        return client.send(
                FUSE_COPY_FILE_RANGE_64, source, sourceHandle, offset, target, targetHandle, offset2, length, 0L);
    }

    private void assertCopied(long offset, long offset2, long length, long expected) {
        assertEquals(expected, copy(offset, offset2, length).ok().u64(0));
        client.replyRoom = 16 + (1 << 20);
        byte[] all = client.send(FUSE_READ, target, targetHandle, 0L, 1 << 16, 0, 0L, 0, 0)
                .ok()
                .bytesOfBody();
        assertEquals(offset2 + expected, all.length);
        assertArrayEquals(
                Arrays.copyOfRange(content, (int) offset, (int) (offset + expected)),
                Arrays.copyOfRange(all, (int) offset2, (int) (offset2 + expected)));
    }

    @Test
    void wholeBlocksAreSharedAndTheTailIsCopied() {
        assertCopied(0, 0, SIZE, SIZE);
        assertEquals(List.of("0+20480 to 0"), fs.clones);
    }

    @Test
    void whatIsBehindTheEndIsNotCopied() {
        assertCopied(4096, 8192, 1L << 40, SIZE - 4096);
        assertEquals(List.of("4096+16384 to 8192"), fs.clones);
        assertEquals(0, copy(SIZE, 0, 4096).ok().u64(0));
    }

    @Test
    void partsOfBlocksAtTheSamePlaceAreCopiedUpToTheNextBlock() {
        assertCopied(100, 4196, 10_000, 10_000);
        assertEquals(List.of("4096+4096 to 8192"), fs.clones);
    }

    @Test
    void blocksAtDifferentPlacesAreCopied() {
        assertCopied(512, 0, 20_000, 20_000);
        assertEquals(List.of(), fs.clones);
    }

    @Test
    void whatIsLessThanABlockIsCopied() {
        assertCopied(4096, 0, 4095, 4095);
        assertEquals(List.of(), fs.clones);
    }

    @Test
    void whatIsNotSharedIsCopied() {
        fs.mostToClone = 8192;
        assertCopied(0, 0, SIZE, SIZE);
        assertEquals(List.of("0+8192 to 0"), fs.clones);
    }

    @Test
    void aFileSystemThatSharesNothingCopies() {
        fs.cloneBlockBytes = 0;
        assertCopied(0, 0, SIZE, SIZE);
        assertEquals(List.of(), fs.clones);
    }

    @Test
    void rangesOfOneFileMustNotOverlap() {
        target = source;
        targetHandle = sourceHandle;
        assertEquals(-Errno.EINVAL, copy(0, 4096, 8192).error());
        assertEquals(-Errno.EINVAL, copy(4096, 0, 4097).error());
        assertEquals(4096, copy(4096, 0, 4096).ok().u64(0));
    }

    @Test
    void handlesAreChecked() {
        assertEquals(
                -Errno.EBADF,
                client.send(FUSE_COPY_FILE_RANGE, source, 99L, 0L, target, targetHandle, 0L, 4096L, 0L)
                        .error());
        assertEquals(
                -Errno.EBADF,
                client.send(FUSE_COPY_FILE_RANGE, source, sourceHandle, 0L, target, 99L, 0L, 4096L, 0L)
                        .error());
        assertEquals(
                -Errno.EINVAL,
                client.send(FUSE_COPY_FILE_RANGE, source, sourceHandle, 0L, target, targetHandle, 0L, 4096L, 1L)
                        .error());
    }
}

package io.vhostfs.frontend;

import static io.vhostfs.fuse.FuseConstants.FUSE_DO_READDIRPLUS;
import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.os.Errno;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/**
 * What a benchmark works on: in a directory of its own a data file whose every block says where it belongs, a directory of
 * 1000 files, and an empty directory for names that come and go.
 *
 * <p>Whatever an earlier run left behind is removed first, and everything at the end. One thread.
 */
final class BenchFiles {
    static final int BLOCK_BYTES = 4096;
    static final int FILES = 1000;
    private static final String TOP = "vhostfs-bench";
    private static final int LIST_BUFFER_BYTES = 64 << 10;

    private final FuseClient client;
    private final int ioBytes;
    private final long dataBytes;
    private final FuseClient.Handle data;
    private final long topNode;
    private final long filesNode;
    private final long workNode;
    private final long[] fileNodes = new long[FILES];

    BenchFiles(FuseClient client, FuseClient.Init init, long dataBytes) throws IOException {
        if ((init.flags() & FUSE_DO_READDIRPLUS) == 0) {
            throw new FrontEndException("the back end has no READDIRPLUS");
        }
        this.client = client;
        this.dataBytes = dataBytes;
        this.ioBytes = Math.min(BenchWorkload.MAX_BLOCK_BYTES, init.maxWrite());
        removeAll();
        topNode = client.mkdir(FuseClient.ROOT, TOP, 0755).nodeid();
        filesNode = client.mkdir(topNode, "files", 0755).nodeid();
        workNode = client.mkdir(topNode, "work", 0755).nodeid();
        for (int i = 0; i < FILES; i++) {
            FuseClient.Handle file = client.create(filesNode, fileName(i), O_RDWR, S_IFREG | 0644);
            client.release(file.nodeid(), file.fh(), O_RDWR);
            fileNodes[i] = file.nodeid();
        }
        data = client.create(topNode, "data", O_RDWR, S_IFREG | 0644);
        byte[] chunk = new byte[ioBytes];
        for (long offset = 0; offset < dataBytes; offset += ioBytes) {
            fill(chunk, offset);
            int written = client.write(data.nodeid(), data.fh(), offset, chunk);
            if (written != ioBytes) {
                throw new FrontEndException("write of " + ioBytes + " bytes at " + offset + " wrote " + written);
            }
        }
        client.fsync(data.nodeid(), data.fh(), false);
    }

    FuseClient.Handle data() {
        return data;
    }

    long dataBytes() {
        return dataBytes;
    }

    long filesNode() {
        return filesNode;
    }

    long workNode() {
        return workNode;
    }

    long fileNode(int index) {
        return fileNodes[index];
    }

    /** A name of nine characters. */
    static String fileName(int index) {
        return String.format("file-%04d", index);
    }

    /** Reads the whole data file; a byte that is not what was written throws. */
    void verify() throws IOException {
        byte[] expected = new byte[ioBytes];
        for (long offset = 0; offset < dataBytes; offset += ioBytes) {
            fill(expected, offset);
            byte[] got = client.read(data.nodeid(), data.fh(), offset, ioBytes);
            int at = Arrays.mismatch(expected, got);
            if (at >= 0) {
                throw new FrontEndException("data differ at byte " + (offset + at));
            }
        }
    }

    /** Gives back {@code lookups} lookups of each of the 1000 files beyond the one that their creation made. */
    void forgetFiles(long lookups) throws IOException {
        for (long node : fileNodes) {
            client.forget(node, lookups);
        }
    }

    void close() throws IOException {
        client.release(data.nodeid(), data.fh(), O_RDWR);
        forgetFiles(1);
        client.forget(data.nodeid(), 1);
        client.forget(workNode, 1);
        client.forget(filesNode, 1);
        client.forget(topNode, 1);
        removeAll();
    }

    /** What a block of the data file holds: its number in the first and the last word, between them the same everywhere. */
    static void fill(byte[] chunk, long fileOffset) {
        ByteBuffer to = ByteBuffer.wrap(chunk).order(ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; at < chunk.length; at += Long.BYTES) {
            int inBlock = at % BLOCK_BYTES;
            boolean stamp = inBlock == 0 || inBlock == BLOCK_BYTES - Long.BYTES;
            to.putLong(at, stamp ? (fileOffset + at) / BLOCK_BYTES : inBlock * 0x9e37_79b9_7f4a_7c15L);
        }
    }

    private void removeAll() throws IOException {
        FuseClient.Entry top;
        try {
            top = client.lookup(FuseClient.ROOT, TOP);
        } catch (FuseErrnoException e) {
            if (e.errno() == Errno.ENOENT) {
                return;
            }
            throw e;
        }
        removeEntries(top.nodeid());
        client.rmdir(FuseClient.ROOT, TOP);
        client.forget(top.nodeid(), 1);
    }

    /** Starts over after each buffer: entries go away under the listing. */
    private void removeEntries(long node) throws IOException {
        FuseClient.Handle dir = client.opendir(node);
        List<FuseClient.DirectoryEntry> entries = list(dir);
        while (!entries.isEmpty()) {
            for (FuseClient.DirectoryEntry entry : entries) {
                FuseClient.Entry found = client.lookup(node, entry.name());
                if ((found.attributes().mode() & S_IFMT) == S_IFDIR) {
                    removeEntries(found.nodeid());
                    client.rmdir(node, entry.name());
                } else {
                    client.unlink(node, entry.name());
                }
                client.forget(found.nodeid(), 1);
            }
            client.releasedir(node, dir.fh());
            dir = client.opendir(node);
            entries = list(dir);
        }
        client.releasedir(node, dir.fh());
    }

    private List<FuseClient.DirectoryEntry> list(FuseClient.Handle dir) throws IOException {
        return client.readdir(dir.nodeid(), dir.fh(), 0, LIST_BUFFER_BYTES).stream()
                .filter(entry -> !entry.name().equals(".") && !entry.name().equals(".."))
                .toList();
    }
}

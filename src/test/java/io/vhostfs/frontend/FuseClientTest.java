package io.vhostfs.frontend;

import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.os.Errno;
import io.vhostfs.vhost.VhostUserConstants;
import io.vhostfs.virtio.VirtioConstants;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The client against a back end that is not ours. */
class FuseClientTest {
    @TempDir
    Path directory;

    private Virtiofsd backEnd;

    @BeforeEach
    void startBackEnd() throws Exception {
        backEnd = new Virtiofsd(directory);
    }

    @AfterEach
    void stopBackEnd() throws Exception {
        backEnd.close();
    }

    private static FuseClient initialised(FrontEnd frontEnd) throws IOException {
        FuseClient client = new FuseClient(frontEnd);
        FuseClient.Init init = client.init();
        assertEquals(7, init.major());
        assertTrue(init.maxWrite() >= 128 << 10);
        return client;
    }

    @Test
    void whatWasWrittenIsReadBack() throws Exception {
        try (FrontEnd frontEnd = FrontEnd.connect(backEnd.socket(), FrontEnd.Options.DEFAULT)) {
            writeAndReadBack(initialised(frontEnd), 1 << 20);
        }
    }

    @Test
    void requestsWorkWithoutIndirectDescriptorsAndEventIdx() throws Exception {
        FrontEnd.Options options = FrontEnd.Options.DEFAULT
                .withoutFeature(VirtioConstants.VIRTIO_RING_F_INDIRECT_DESC)
                .withoutFeature(VirtioConstants.VIRTIO_RING_F_EVENT_IDX)
                .withoutProtocolFeature(VhostUserConstants.VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)
                .withoutProtocolFeature(VhostUserConstants.VHOST_USER_PROTOCOL_F_REPLY_ACK);
        try (FrontEnd frontEnd = FrontEnd.connect(backEnd.socket(), options)) {
            writeAndReadBack(initialised(frontEnd), 128 << 10);
        }
    }

    private static void writeAndReadBack(FuseClient client, int bytes) throws IOException {
        byte[] data = new byte[bytes];
        new Random(1).nextBytes(data);
        FuseClient.Handle file = client.create(FuseClient.ROOT, "file", O_RDWR, S_IFREG | 0644);
        assertEquals(bytes, client.write(file.nodeid(), file.fh(), 4096, data));
        client.fsync(file.nodeid(), file.fh(), false);
        assertArrayEquals(data, client.read(file.nodeid(), file.fh(), 4096, bytes));
        assertArrayEquals(new byte[4096], client.read(file.nodeid(), file.fh(), 0, 4096));
        assertEquals(0, client.read(file.nodeid(), file.fh(), 4096 + bytes, 4096).length);
        assertEquals(4096 + bytes, client.getattr(file.nodeid()).size());
        client.flush(file.nodeid(), file.fh());
        client.release(file.nodeid(), file.fh(), O_RDWR);
        client.unlink(FuseClient.ROOT, "file");
        client.forget(file.nodeid(), 1);
    }

    @Test
    void namesAndAttributesFollowTheRequests() throws Exception {
        try (FrontEnd frontEnd = FrontEnd.connect(backEnd.socket(), FrontEnd.Options.DEFAULT)) {
            FuseClient client = initialised(frontEnd);
            FuseClient.Entry dir = client.mkdir(FuseClient.ROOT, "dir", 0755);
            FuseClient.Handle file = client.create(dir.nodeid(), "a", O_RDWR, S_IFREG | 0600);
            client.release(file.nodeid(), file.fh(), O_RDWR);
            client.rename(dir.nodeid(), "a", FuseClient.ROOT, "b", 0);
            assertErrno(Errno.ENOENT, () -> client.lookup(dir.nodeid(), "a"));
            FuseClient.Entry renamed = client.lookup(FuseClient.ROOT, "b");
            assertEquals(file.nodeid(), renamed.nodeid());
            assertEquals(
                    2,
                    client.link(renamed.nodeid(), dir.nodeid(), "c")
                            .attributes()
                            .nlink());
            assertEquals(0640, client.chmod(renamed.nodeid(), 0640).mode() & 07777);
            assertEquals(77, client.truncate(renamed.nodeid(), 77).size());
            FuseClient.Entry link = client.symlink(FuseClient.ROOT, "l", "dir/c");
            assertEquals("dir/c", client.readlink(link.nodeid()));
            assertErrno(Errno.ENOTEMPTY, () -> client.rmdir(FuseClient.ROOT, "dir"));
            client.unlink(dir.nodeid(), "c");
            client.rmdir(FuseClient.ROOT, "dir");
            assertEquals(255, client.statfs().namelen());
            assertErrno(Errno.EEXIST, () -> client.mkdir(FuseClient.ROOT, "b", 0755));
        }
    }

    @Test
    void aDirectoryIsListedOverSeveralBuffers() throws Exception {
        try (FrontEnd frontEnd = FrontEnd.connect(backEnd.socket(), FrontEnd.Options.DEFAULT)) {
            FuseClient client = initialised(frontEnd);
            List<String> expected = new ArrayList<>(List.of(".", ".."));
            for (int i = 0; i < 100; i++) {
                String name = "entry-" + i;
                FuseClient.Handle file = client.create(FuseClient.ROOT, name, O_RDWR, S_IFREG | 0600);
                client.release(file.nodeid(), file.fh(), O_RDWR);
                expected.add(name);
            }
            FuseClient.Handle dir = client.opendir(FuseClient.ROOT);
            List<String> plus = new ArrayList<>();
            long offset = 0;
            List<FuseClient.DirectoryEntry> some = client.readdirplus(dir.nodeid(), dir.fh(), offset, 4096);
            while (!some.isEmpty()) {
                for (FuseClient.DirectoryEntry entry : some) {
                    plus.add(entry.name());
                    offset = entry.offset();
                }
                some = client.readdirplus(dir.nodeid(), dir.fh(), offset, 4096);
            }
            List<String> plain = client.readdir(dir.nodeid(), dir.fh(), 0, 64 << 10).stream()
                    .map(FuseClient.DirectoryEntry::name)
                    .toList();
            client.releasedir(dir.nodeid(), dir.fh());
            assertEquals(sorted(expected), sorted(plus));
            assertEquals(sorted(expected), sorted(plain));
        }
    }

    @Test
    void aRestartedRingGoesOnWhereItStopped() throws Exception {
        try (FrontEnd frontEnd = FrontEnd.connect(backEnd.socket(), FrontEnd.Options.DEFAULT)) {
            FuseClient client = initialised(frontEnd);
            client.statfs();
            int index = frontEnd.stopQueue(FrontEnd.REQUEST_QUEUE);
            assertEquals(2, index, "INIT and STATFS went through the ring");
            frontEnd.startQueue(FrontEnd.REQUEST_QUEUE);
            frontEnd.enableQueue(FrontEnd.REQUEST_QUEUE, true);
            assertEquals(255, client.statfs().namelen());
        }
    }

    @Test
    void thePeerIsTheProcessThatListens() throws Exception {
        try (FrontEnd frontEnd = FrontEnd.connect(backEnd.socket(), FrontEnd.Options.DEFAULT)) {
            int pid = frontEnd.socket().peerPid();
            assertTrue(ProcessHandle.of(pid)
                    .orElseThrow()
                    .info()
                    .command()
                    .orElseThrow()
                    .endsWith("virtiofsd"));
        }
    }

    private interface Call {
        void run() throws IOException;
    }

    private static void assertErrno(int errno, Call call) {
        FuseErrnoException e = assertThrows(FuseErrnoException.class, call::run);
        assertEquals(Errno.name(errno), Errno.name(e.errno()));
    }

    private static List<String> sorted(List<String> names) {
        String[] array = names.toArray(String[]::new);
        Arrays.sort(array);
        return List.of(array);
    }
}

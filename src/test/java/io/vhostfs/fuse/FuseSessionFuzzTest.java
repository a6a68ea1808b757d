package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.MemoryFileSystem;
import io.vhostfs.reactor.Reactor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * Any bytes, cut anyhow, in a room of any size: each message is answered once, inside its room, or needs no answer.
 * {@link FuseTestClient} checks that nothing else was written.
 */
class FuseSessionFuzzTest {
    private static final int MAX_MESSAGES = 20;

    @FuzzTest
    void answersAnyMessages(FuzzedDataProvider data) {
        Reactor reactor = new Reactor("fuzz");
        MemoryFileSystem fs = new MemoryFileSystem(reactor);
        FuseOptions options = data.consumeBoolean() ? FuseOptions.exclusive() : FuseOptions.shared();
        FuseTestClient client =
                new FuseTestClient(new FuseSession(fs, fs.attach(FileSystem.ROOT_INODE), options), reactor);
        client.whilePending = fs::completeWaiting;
        client.init().ok();
        for (int i = 0; i < MAX_MESSAGES && data.remainingBytes() > 0; i++) {
            fs.pending = data.consumeBoolean();
            client.messageCut = new FuseTestClient.Cut("", data.consumeInt(1, 100), data.consumeInt(1, 5000));
            client.replyCut = new FuseTestClient.Cut("", data.consumeInt(1, 100), data.consumeInt(1, 5000));
            client.replyRoom = data.consumeInt(0, 5000);
            int opcode = data.consumeBoolean() ? data.consumeInt(0, 60) : data.consumeInt();
            long nodeid = data.consumeLong(0, 6);
            byte[] arguments = data.consumeBytes(data.consumeInt(0, 500));
            byte[] extensions = new byte[data.consumeInt(0, 9) == 0 ? 8 * data.consumeInt(0, 20) : 0];
            byte[] given = data.consumeBytes(extensions.length);
            System.arraycopy(given, 0, extensions, 0, given.length);
            byte[] message = client.extended(opcode, nodeid, arguments, extensions);
            if (data.consumeInt(0, 9) == 0) {
                ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN).putInt(data.consumeInt());
            }
            client.sendMessage(message);
        }
    }

    /** The same, from seeds, for runs without a fuzzer: valid operations with single bytes changed. */
    @Test
    void answersDamagedMessages() {
        Reactor reactor = new Reactor("fuzz");
        MemoryFileSystem fs = new MemoryFileSystem(reactor);
        FuseTestClient client = new FuseTestClient(
                new FuseSession(fs, fs.attach(FileSystem.ROOT_INODE), FuseOptions.exclusive()), reactor);
        client.whilePending = fs::completeWaiting;
        int answered = 0;
        for (int seed = 0; seed < 300; seed++) {
            Random random = new Random(seed);
            client.messageCut = FuseTestClient.LINUX_MESSAGE;
            client.replyRoom = 4096;
            client.init().ok();
            List<byte[]> messages = new ArrayList<>(FuseDecoderTest.messages(client, 1));
            byte[] mkdir = FuseTestClient.args(0755, 022, "name");
            byte[] label = FuseTestClient.label("security.selinux", new byte[random.nextInt(10)]);
            messages.add(client.extended(FUSE_MKDIR, 1, mkdir, label));
            for (byte[] operation : messages) {
                byte[] message = operation.clone();
                for (int i = random.nextInt(4); i > 0; i--) {
                    message[random.nextInt(message.length)] = (byte) random.nextInt(256);
                }
                fs.pending = random.nextBoolean();
                client.messageCut = new FuseTestClient.Cut("", 1 + random.nextInt(60), 1 + random.nextInt(60));
                client.replyCut = new FuseTestClient.Cut("", 1 + random.nextInt(60), 1 + random.nextInt(60));
                client.replyRoom = random.nextInt(5000);
                answered += client.sendMessage(message).bytes() >= FUSE_OUT_HEADER_SIZE ? 1 : 0;
            }
        }
        assertTrue(answered > 5000, "answered: " + answered);
    }
}

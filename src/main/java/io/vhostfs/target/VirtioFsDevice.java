package io.vhostfs.target;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fuse.ChangeFeed;
import io.vhostfs.fuse.FuseOptions;
import io.vhostfs.fuse.FuseRequest;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.vhost.VhostDeviceBackend;
import io.vhostfs.virtio.ChainHandler;
import io.vhostfs.virtio.DescriptorChain;
import io.vhostfs.virtio.SplitVirtqueue;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One share as a virtio-fs device: the chains of its queues become requests of one FUSE session.
 *
 * <p>Queue 0 is the hiprio queue, the others are request queues (virtio 1.2, 5.11.2); each belongs to one reactor. The
 * session outlives front ends and is reset between them, so that nothing of one guest is left for the next.
 */
public final class VirtioFsDevice implements VhostDeviceBackend {
    private static final int TAG_BYTES = 36;
    private static final int CONFIG_BYTES = TAG_BYTES + Integer.BYTES;

    private final ShareConfig share;
    private final FileSystem fileSystem;
    private final FuseSession session;
    private final List<Reactor> reactors;

    /** {@code reactors}: those over which the queues are spread, the file system's home first. Home reactor only. */
    public VirtioFsDevice(
            ShareConfig share, FileSystem fileSystem, long rootInode, ChangeFeed changes, List<Reactor> reactors) {
        this.share = share;
        this.fileSystem = fileSystem;
        this.reactors = List.copyOf(reactors);
        FsClient client = fileSystem.attach(rootInode);
        client.setAccessTimes(share.accessTimes());
        session = new FuseSession(fileSystem, client, optionsOf(share), changes);
    }

    static FuseOptions optionsOf(ShareConfig share) {
        return switch (share.mode()) {
            case EXCLUSIVE -> share.noOpen() ? FuseOptions.exclusive().withoutOpen() : FuseOptions.exclusive();
            case SHARED -> FuseOptions.shared();
        };
    }

    /** The share is served no more. Home reactor only. */
    public void close() {
        session.close();
    }

    @Override
    public String name() {
        return share.tag();
    }

    @Override
    public int queueCount() {
        return 1 + share.queues();
    }

    /** {@code struct virtio_fs_config}: the tag, padded with zeroes, and the number of request queues. */
    @Override
    public byte[] config() {
        ByteBuffer config = ByteBuffer.allocate(CONFIG_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        config.put(share.tag().getBytes(StandardCharsets.UTF_8));
        config.putInt(TAG_BYTES, share.queues());
        return config.array();
    }

    /** Request queues go round the reactors from the home on; the hiprio queue is polled at home. */
    @Override
    public Reactor reactorFor(int queueIndex) {
        return reactors.get(queueIndex == 0 ? 0 : (queueIndex - 1) % reactors.size());
    }

    @Override
    public ChainHandler onQueueStarted(int queueIndex, SplitVirtqueue queue) {
        return new RequestQueue(session, reactorFor(queueIndex), queue);
    }

    @Override
    public void onQueueDraining(int queueIndex) {
        session.interruptWaiting();
    }

    @Override
    public void onQueueStopped(int queueIndex) {
        // The queue's requests are garbage with its handler.
    }

    @Override
    public void onReset(Runnable done) {
        resetSession(done);
    }

    @Override
    public void onDisconnect(Runnable done) {
        resetSession(done);
    }

    private void resetSession(Runnable done) {
        fileSystem.home().send(() -> {
            session.reset();
            done.run();
        });
    }

    /** One queue's requests, one for each slot; on the queue's reactor. */
    private static final class RequestQueue implements ChainHandler {
        private final FuseSession session;
        private final SplitVirtqueue queue;
        private final Request[] requests;

        RequestQueue(FuseSession session, Reactor reactor, SplitVirtqueue queue) {
            this.session = session;
            this.queue = queue;
            requests = new Request[queue.size()];
            for (int slot = 0; slot < requests.length; slot++) {
                requests[slot] = new Request(session, reactor, queue);
            }
        }

        @Override
        public void onChain(DescriptorChain chain) {
            Request request = requests[chain.slot()];
            request.chain = chain;
            request.messageIovecs = chain.readableIovecs();
            request.messageIovecCount = chain.readableCount();
            request.messageBytes = chain.readableBytes();
            request.replyIovecs = chain.writableIovecs();
            request.replyIovecCount = chain.writableCount();
            request.replyCapacityBytes = chain.writableBytes();
            int replyBytes = session.dispatch(request);
            if (replyBytes != FuseSession.PENDING) {
                queue.pushUsed(chain, replyBytes);
            }
        }
    }

    /** The request in one slot of a ring. */
    private static final class Request extends FuseRequest {
        private final SplitVirtqueue queue;
        private @Nullable DescriptorChain chain;

        Request(FuseSession session, Reactor reactor, SplitVirtqueue queue) {
            super(session, reactor);
            this.queue = queue;
        }

        @Override
        protected void onMemoryFault(InternalError fault) {
            queue.onMemoryFault(fault);
        }

        @Override
        protected void onReplied(int replyBytes) {
            DescriptorChain answered = chain;
            if (answered != null) {
                queue.pushUsed(answered, replyBytes);
            }
        }
    }
}

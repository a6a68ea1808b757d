package io.vhostfs.bdev;

import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Message;
import io.vhostfs.reactor.Reactor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A reactor's way to a queue pair of another reactor, for controllers with fewer queue pairs than there are reactors.
 *
 * <p>Invariant: a request travels in a carrier, as a message there and as one back; requests that find none wait in the order
 * they came. Once the lender's channel is closed, requests fail. This reactor's thread only, but for the carrier's way there.
 */
final class NvmeSharedChannel implements BlockChannel {
    /** As many as a queue pair has slots: more would wait there. */
    private static final int CARRIERS = 256;

    private final NvmeDevice device;
    private final NvmeChannel lender;
    private final Reactor reactor;
    private final Runnable onClose;
    private @Nullable Carrier free;
    private final WaitingList waiting = new WaitingList();
    private int inFlight;
    private boolean open = true;

    NvmeSharedChannel(NvmeDevice device, NvmeChannel lender, Reactor reactor, Runnable onClose) {
        this.device = device;
        this.lender = lender;
        this.reactor = reactor;
        this.onClose = onClose;
        for (int i = 0; i < CARRIERS; i++) {
            Carrier carrier = new Carrier();
            carrier.nextFree = free;
            free = carrier;
        }
    }

    /** A copy of the request that belongs to the lender's reactor while it is under way. */
    private final class Carrier extends BlockIo implements Message {
        private @Nullable BlockIo request;
        private @Nullable Carrier nextFree;
        private int status;
        private boolean back;

        @Override
        public void run() {
            if (back) {
                arrive(this);
                return;
            }
            int result = lender.submitFor(device, this);
            if (result != PENDING) {
                onComplete(result);
            }
        }

        @Override
        public void onFailure(Throwable thrown) {
            if (!back) {
                onComplete(-Errno.EIO);
            }
        }

        @Override
        public void onComplete(int ioStatus) {
            status = ioStatus;
            back = true;
            reactor.send(this);
        }
    }

    @Override
    public int submit(BlockIo io) {
        int error = device.check(io);
        if (error != 0) {
            return error;
        }
        if (device.isNothing(io)) {
            return 0;
        }
        inFlight++;
        Carrier carrier = free;
        if (carrier != null) {
            free = carrier.nextFree;
            depart(carrier, io);
        } else {
            waiting.add(io);
        }
        return PENDING;
    }

    private void depart(Carrier carrier, BlockIo io) {
        carrier.request = io;
        carrier.operation = io.operation;
        carrier.flags = io.flags;
        carrier.offsetBytes = io.offsetBytes;
        carrier.lengthBytes = io.lengthBytes;
        carrier.iovecsAddress = io.iovecsAddress;
        carrier.iovecCount = io.iovecCount;
        carrier.back = false;
        lender.reactor().send(carrier);
    }

    private void arrive(Carrier carrier) {
        BlockIo io = Objects.requireNonNull(carrier.request);
        int status = carrier.status;
        carrier.request = null;
        inFlight--;
        BlockIo next = waiting.take();
        if (next != null) {
            depart(carrier, next);
        } else {
            carrier.nextFree = free;
            free = carrier;
        }
        io.onComplete(status);
    }

    @Override
    public int inFlight() {
        return inFlight;
    }

    @Override
    public void close() {
        if (inFlight != 0) {
            throw new IllegalStateException(device.name() + ": " + inFlight + " requests are in flight");
        }
        if (open) {
            open = false;
            onClose.run();
        }
    }
}

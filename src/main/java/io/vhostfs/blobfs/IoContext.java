package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import org.jspecify.annotations.Nullable;

/** What one reactor needs to do data I/O: its channel, idle operations, bounce buffers. That reactor's thread only. */
final class IoContext {
    final BlobFs fileSystem;
    final BlobStore store;
    final Reactor reactor;
    final int slot;
    final BlockChannel channel;
    /** Offsets and lengths of I/O are multiples of this plus one. */
    final int blockMask;
    /** Addresses in iovecs are multiples of this plus one. */
    final int memoryMask;

    final ExtentCursor cursor = new ExtentCursor();

    private @Nullable FileOp freeOps;
    private RemoteAccess.@Nullable Route freeRoutes;
    private long bounceBytes;

    /** Idle bounce buffers by the logarithm of their size. */
    private final @Nullable Bounce[] freeBounces = new Bounce[32];

    @SuppressWarnings("unused") // holds the bounce buffers
    private final Arena arena = Arena.ofAuto();

    IoContext(BlobFs fileSystem, BlobStore store, Reactor reactor, int slot, BlockDevice device, BlockChannel channel) {
        this.fileSystem = fileSystem;
        this.store = store;
        this.reactor = reactor;
        this.slot = slot;
        this.channel = channel;
        blockMask = device.blockSize() - 1;
        memoryMask = device.memoryAlignment() - 1;
    }

    FileOp obtain() {
        FileOp op = freeOps;
        if (op == null) {
            return new FileOp(this);
        }
        freeOps = op.nextFree;
        op.nextFree = null;
        return op;
    }

    void release(FileOp op) {
        op.reset();
        op.nextFree = freeOps;
        freeOps = op;
    }

    RemoteAccess.Route obtainRoute() {
        RemoteAccess.Route route = freeRoutes;
        if (route == null) {
            return new RemoteAccess.Route(this);
        }
        freeRoutes = route.nextFree;
        route.nextFree = null;
        return route;
    }

    void releaseRoute(RemoteAccess.Route route) {
        route.nextFree = freeRoutes;
        freeRoutes = route;
    }

    /** Page-aligned memory. */
    static final class Bounce {
        final long address;
        final int sizeLog2;

        @Nullable
        Bounce next;

        Bounce(long address, int sizeLog2) {
            this.address = address;
            this.sizeLog2 = sizeLog2;
        }
    }

    /** A buffer of at least so many bytes, or null when the limit is reached. */
    @Nullable
    Bounce obtainBounce(long bytes) {
        int log2 = Math.max(13, 64 - Long.numberOfLeadingZeros(bytes - 1));
        Bounce bounce = freeBounces[log2];
        if (bounce != null) {
            freeBounces[log2] = bounce.next;
            bounce.next = null;
            return bounce;
        }
        if (bounceBytes + (1L << log2) > Limits.MAX_BOUNCE_BYTES) {
            return null;
        }
        bounceBytes += 1L << log2;
        return new Bounce(arena.allocate(1L << log2, 4096).address(), log2);
    }

    void releaseBounce(Bounce bounce) {
        bounce.next = freeBounces[bounce.sizeLog2];
        freeBounces[bounce.sizeLog2] = bounce;
    }
}

package io.vhostfs.virtio;

import static io.vhostfs.memory.Iovecs.IOVEC_SIZE;
import static io.vhostfs.os.LibcConstants.MAP_ANONYMOUS;
import static io.vhostfs.os.LibcConstants.MAP_NORESERVE;
import static io.vhostfs.os.LibcConstants.MAP_PRIVATE;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;
import static io.vhostfs.virtio.VirtioConstants.VIRTIO_RING_F_EVENT_IDX;
import static io.vhostfs.virtio.VirtioConstants.VIRTIO_RING_F_INDIRECT_DESC;
import static io.vhostfs.virtio.VirtioConstants.VRING_AVAIL_ALIGN_SIZE;
import static io.vhostfs.virtio.VirtioConstants.VRING_AVAIL_F_NO_INTERRUPT;
import static io.vhostfs.virtio.VirtioConstants.VRING_AVAIL_IDX_OFFSET;
import static io.vhostfs.virtio.VirtioConstants.VRING_AVAIL_RING_OFFSET;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_ALIGN_SIZE;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_F_INDIRECT;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_F_NEXT;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_F_WRITE;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_LEN_OFFSET;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_SIZE;
import static io.vhostfs.virtio.VirtioConstants.VRING_USED_ALIGN_SIZE;
import static io.vhostfs.virtio.VirtioConstants.VRING_USED_ELEM_SIZE;
import static io.vhostfs.virtio.VirtioConstants.VRING_USED_F_NO_NOTIFY;
import static io.vhostfs.virtio.VirtioConstants.VRING_USED_IDX_OFFSET;
import static io.vhostfs.virtio.VirtioConstants.VRING_USED_RING_OFFSET;

import io.vhostfs.memory.GuestMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * The device's side of a split virtqueue (virtio 1.2, section 2.7) over raw memory.
 *
 * <p>Invariant: a chain reaches the handler only when every descriptor of it was read once, is well-formed and translates
 * to mapped memory; anything else breaks the queue ({@link #brokenReason()}), as a device that needs a reset, and no
 * further chain is taken from it. At most {@link #size()} chains are in flight, each with a head of its own. What
 * {@link #pushUsed} adds becomes visible to the driver, with one call at most, at the next {@link #flush}.
 *
 * <p>Created on any thread; from {@link #start} on used by one reactor only.
 */
public final class SplitVirtqueue implements AutoCloseable {
    /** Largest queue that the standard allows (section 2.7). */
    public static final int MAX_SIZE = 32_768;

    /**
     * Most descriptors in one chain, and most entries in one indirect table: Linux and QEMU never build longer ones
     * (QEMU's VIRTQUEUE_MAX_SIZE).
     */
    public static final int MAX_CHAIN_DESCRIPTORS = 1024;

    /** A descriptor that spans two regions becomes two iovecs; more than a few in one chain is not a guest's layout. */
    static final int MAX_CHAIN_IOVECS = MAX_CHAIN_DESCRIPTORS + 64;

    /** Section 2.7.5: a chain must not be longer than 2^32 bytes in total. */
    private static final long MAX_CHAIN_BYTES = 1L << 32;

    /** An odd number of cache lines apart, so that the first lines of the slots' arrays fall into different sets. */
    private static final long WIDE_STRIDE_BYTES = (long) MAX_CHAIN_IOVECS * IOVEC_SIZE + 64;

    private static final long COMPACT_STRIDE_BYTES = (long) DescriptorChain.COMPACT_IOVECS * IOVEC_SIZE;

    // Hot: what poll and pushUsed touch.
    private final DescriptorChain[] chains;
    private final int mask;
    private long descTable;
    private long availRing;
    private long availIdxAddress;
    private long usedRing;
    private long usedIdxAddress;
    private int lastAvail;
    private int usedIdx;
    private int pendingUsed;
    private int inFlight;
    private boolean eventIdx;
    private boolean indirect;
    private boolean detached;

    private GuestMemory memory = GuestMemory.EMPTY;

    private long availFlagsAddress;
    private long usedFlagsAddress;
    private long usedEventAddress;
    private long availEventAddress;
    private int callFd = -1;
    private boolean callDue;

    private final String name;
    private final long arena;
    private final long arenaBytes;
    private final long one;
    private final long tableCopy;
    private @Nullable String brokenReason;
    private @Nullable InternalError memoryFault;

    /**
     * Allocates the chains of a queue; the queue is not started.
     *
     * @param name for messages, such as {@code share0 queue 1}
     * @param size descriptors in the ring: a power of two, at most {@link #MAX_SIZE}
     */
    public SplitVirtqueue(String name, int size) {
        if (!isValidSize(size)) {
            throw new IllegalArgumentException(name + ": a queue cannot have " + size + " descriptors");
        }
        this.name = name;
        mask = size - 1;
        long fixedBytes = 64 + (long) MAX_CHAIN_DESCRIPTORS * VRING_DESC_SIZE;
        // Only what long chains touch is ever backed by memory.
        arenaBytes = fixedBytes + size * (COMPACT_STRIDE_BYTES + WIDE_STRIDE_BYTES);
        arena = Libc.mmap(0, arenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (arena < 0) {
            throw new IllegalStateException(
                    name + ": cannot map " + arenaBytes + " bytes for descriptor chains: " + Errno.name((int) arena));
        }
        one = arena;
        Memory.putLong(one, 1);
        tableCopy = arena + 64;
        long compact = arena + fixedBytes;
        long wide = compact + size * COMPACT_STRIDE_BYTES;
        chains = new DescriptorChain[size];
        for (int i = 0; i < size; i++) {
            chains[i] = new DescriptorChain(this, i, compact + i * COMPACT_STRIDE_BYTES, wide + i * WIDE_STRIDE_BYTES);
        }
    }

    /** Whether a split virtqueue may have so many descriptors. */
    public static boolean isValidSize(long size) {
        return size > 0 && size <= MAX_SIZE && Long.bitCount(size) == 1;
    }

    /** Bytes of a descriptor table. */
    public static long descTableBytes(int size) {
        return (long) size * VRING_DESC_SIZE;
    }

    /** Bytes of an available ring, used_event included. */
    public static long availRingBytes(int size) {
        return VRING_AVAIL_RING_OFFSET + 2L * size + 2;
    }

    /** Bytes of a used ring, avail_event included. */
    public static long usedRingBytes(int size) {
        return VRING_USED_RING_OFFSET + (long) VRING_USED_ELEM_SIZE * size + 2;
    }

    /** Whether the three parts have the alignment of section 2.7. */
    public static boolean isAligned(long desc, long avail, long used) {
        return desc % VRING_DESC_ALIGN_SIZE == 0
                && avail % VRING_AVAIL_ALIGN_SIZE == 0
                && used % VRING_USED_ALIGN_SIZE == 0;
    }

    /**
     * Starts polling at {@code lastAvail}; notifications from the driver are off until {@link #prepareToSleep}.
     *
     * @param desc local address of the descriptor table; like the two rings aligned and mapped in full
     * @param lastAvail index of the next available entry (VHOST_USER_SET_VRING_BASE)
     * @param features the negotiated feature bits
     * @param callFd the eventfd that calls the driver, or -1; the caller keeps owning it
     */
    public void start(GuestMemory memory, long desc, long avail, long used, int lastAvail, long features, int callFd) {
        this.callFd = callFd;
        eventIdx = (features & 1L << VIRTIO_RING_F_EVENT_IDX) != 0;
        indirect = (features & 1L << VIRTIO_RING_F_INDIRECT_DESC) != 0;
        this.lastAvail = lastAvail & 0xffff;
        move(memory, desc, avail, used);
        try {
            usedIdx = Memory.getUnsignedShort(usedIdxAddress);
            Memory.deliverFault();
        } catch (InternalError fault) {
            onMemoryFault(fault);
        }
        // Whether the driver heard of the last used buffer before we came is unknown.
        callDue = true;
        wake();
    }

    /** Takes a new memory table and the rings' addresses in it. Nothing may be in flight. */
    public void move(GuestMemory memory, long desc, long avail, long used) {
        setMemory(memory);
        int size = size();
        descTable = desc;
        availRing = avail + VRING_AVAIL_RING_OFFSET;
        availFlagsAddress = avail;
        availIdxAddress = avail + VRING_AVAIL_IDX_OFFSET;
        usedEventAddress = avail + VRING_AVAIL_RING_OFFSET + 2L * size;
        usedRing = used + VRING_USED_RING_OFFSET;
        usedFlagsAddress = used;
        usedIdxAddress = used + VRING_USED_IDX_OFFSET;
        availEventAddress = used + VRING_USED_RING_OFFSET + (long) VRING_USED_ELEM_SIZE * size;
    }

    /** Takes a memory table that contains the one before. */
    public void setMemory(GuestMemory memory) {
        this.memory = memory;
    }

    /** Another descriptor to call the driver with: an eventfd, or -1. The caller keeps owning it. */
    public void setCallFd(int fd) {
        callFd = fd;
        // A call may have gone to the one before when nobody listened to it any more.
        call();
    }

    public String name() {
        return name;
    }

    public int size() {
        return mask + 1;
    }

    /** Chains handed out and not pushed back. */
    public int inFlight() {
        return inFlight;
    }

    /** Index of the next available entry, 0 to 65,535. */
    public int lastAvail() {
        return lastAvail;
    }

    /** Why the queue is broken, or null when it is not. */
    public @Nullable String brokenReason() {
        return brokenReason;
    }

    /** Breaks the queue, as a chain that breaks the rules does. */
    public void markBroken(String reason) {
        if (brokenReason == null) {
            brokenReason = reason;
        }
    }

    /**
     * Breaks the queue because an access to guest memory failed; whoever polls it ends the front end's session. From now
     * on the queue does not touch the guest's memory: chains in flight are taken back and dropped.
     */
    public void onMemoryFault(InternalError fault) {
        if (memoryFault == null) {
            memoryFault = fault;
        }
        detached = true;
        markBroken("the front end took away memory that it shared");
    }

    /** The fault that broke the queue, or null. */
    public @Nullable InternalError memoryFault() {
        return memoryFault;
    }

    /**
     * Takes at most {@code maxChains} available chains and hands each to {@code handler}. A memory fault that the
     * handler lets through counts as the queue's own.
     *
     * @return chains taken
     */
    public int poll(ChainHandler handler, int maxChains) {
        if (brokenReason != null) {
            return 0;
        }
        try {
            return takeAvailable(handler, maxChains);
        } catch (InternalError fault) {
            onMemoryFault(fault);
            return 0;
        }
    }

    private int takeAvailable(ChainHandler handler, int maxChains) {
        int available = (Memory.getShortAcquire(availIdxAddress) - lastAvail) & 0xffff;
        if (available == 0) {
            return 0;
        }
        if (available > size()) {
            markBroken("the available index is " + available + " ahead, the ring has " + size() + " entries");
            return 0;
        }
        int batch = Math.min(available, maxChains);
        int taken = 0;
        while (taken < batch) {
            DescriptorChain chain = pop();
            if (chain == null) {
                break;
            }
            lastAvail = (lastAvail + 1) & 0xffff;
            taken++;
            handler.onChain(chain);
            if (brokenReason != null) {
                break;
            }
        }
        return taken;
    }

    /**
     * Gives a chain back to the driver; it becomes visible at the next {@link #flush}. Throws nothing when the guest's
     * memory is gone.
     *
     * @param bytesWritten bytes written from the start of the writable part on
     */
    public void pushUsed(DescriptorChain chain, int bytesWritten) {
        if (!chain.inFlight || chain.queue() != this) {
            throw new IllegalStateException(name + ": chain " + chain.slot() + " is not in flight");
        }
        chain.inFlight = false;
        inFlight--;
        if (detached) {
            return;
        }
        try {
            Memory.putLong(
                    usedRing + (long) (usedIdx & mask) * VRING_USED_ELEM_SIZE,
                    chain.slot() | (long) bytesWritten << 32);
            usedIdx = (usedIdx + 1) & 0xffff;
            pendingUsed++;
            Memory.deliverFault();
        } catch (InternalError fault) {
            onMemoryFault(fault);
        }
    }

    /** Publishes what was pushed since the last time and calls the driver when it wants that; the number published. */
    public int flush() {
        int published = pendingUsed;
        if (published == 0) {
            return 0;
        }
        pendingUsed = 0;
        if (detached) {
            return 0;
        }
        try {
            Memory.putShortRelease(usedIdxAddress, (short) usedIdx);
            boolean wanted = needsCall(published);
            Memory.deliverFault();
            if (wanted) {
                call();
            }
        } catch (InternalError fault) {
            onMemoryFault(fault);
        }
        return published;
    }

    /** Asks the driver for kicks, then looks again: false when a chain is available already. */
    public boolean prepareToSleep() {
        flush();
        if (brokenReason != null) {
            return true;
        }
        try {
            if (eventIdx) {
                Memory.putShort(availEventAddress, (short) lastAvail);
            } else {
                Memory.putShort(usedFlagsAddress, (short) 0);
            }
            // The driver stores the index, then loads our wish; we store the wish, then load the index (section
            // 2.7.10).
            VarHandle.fullFence();
            boolean empty = (Memory.getShortAcquire(availIdxAddress) & 0xffff) == lastAvail;
            Memory.deliverFault();
            return empty;
        } catch (InternalError fault) {
            onMemoryFault(fault);
            return false;
        }
    }

    /** Asks the driver for no kicks, as far as the negotiated features allow. */
    public void wake() {
        if (detached) {
            return;
        }
        try {
            if (eventIdx) {
                // An index that the driver passes only after another 65,535 chains.
                Memory.putShort(availEventAddress, (short) (lastAvail - 1));
            } else {
                Memory.putShort(usedFlagsAddress, (short) VRING_USED_F_NO_NOTIFY);
            }
            Memory.deliverFault();
        } catch (InternalError fault) {
            onMemoryFault(fault);
        }
    }

    /** Frees the chains; none may be in flight. */
    @Override
    public void close() {
        if (inFlight != 0) {
            throw new IllegalStateException(name + ": closed with " + inFlight + " chains in flight");
        }
        Libc.munmap(arena, arenaBytes);
    }

    private @Nullable DescriptorChain pop() {
        int head = Memory.getUnsignedShort(availRing + 2L * (lastAvail & mask));
        if (head > mask) {
            markBroken("available entry " + lastAvail + " names descriptor " + head + ", the ring has " + size());
            return null;
        }
        DescriptorChain chain = chains[head];
        if (chain.inFlight) {
            markBroken("descriptor " + head + " is available a second time while in flight");
            return null;
        }
        chain.clear();
        if (!walk(head, chain)) {
            return null;
        }
        // A fault of ours must not surface in the handler, which would lose the chain half-way.
        Memory.deliverFault();
        chain.inFlight = true;
        inFlight++;
        return chain;
    }

    private boolean walk(int head, DescriptorChain chain) {
        long table = descTable;
        int entries = size();
        int index = head;
        int timeToLive = Math.min(entries, MAX_CHAIN_DESCRIPTORS);
        boolean inIndirectTable = false;
        while (true) {
            long descriptor = table + (long) index * VRING_DESC_SIZE;
            long address = Memory.getLong(descriptor);
            long lengthFlagsNext = Memory.getLong(descriptor + VRING_DESC_LEN_OFFSET);
            long lengthBytes = lengthFlagsNext & 0xffff_ffffL;
            int flags = (int) (lengthFlagsNext >>> 32) & 0xffff;
            if ((flags & VRING_DESC_F_INDIRECT) == 0) {
                if (!append(chain, address, lengthBytes, (flags & VRING_DESC_F_WRITE) != 0)) {
                    return false;
                }
                if ((flags & VRING_DESC_F_NEXT) == 0) {
                    return true;
                }
                index = (int) (lengthFlagsNext >>> 48);
                if (index >= entries) {
                    markBroken("descriptor " + index + " follows in a table of " + entries);
                    return false;
                }
                if (--timeToLive == 0) {
                    markBroken("a chain from descriptor " + head + " has a loop or is too long");
                    return false;
                }
            } else {
                table = indirectTable(address, lengthBytes, flags, inIndirectTable);
                if (table == 0) {
                    return false;
                }
                entries = (int) (lengthBytes / VRING_DESC_SIZE);
                index = 0;
                timeToLive = entries;
                inIndirectTable = true;
            }
        }
    }

    private boolean append(DescriptorChain chain, long guestAddress, long lengthBytes, boolean writable) {
        if (!writable && chain.writableCount() != 0) {
            markBroken("a readable descriptor follows a writable one");
            return false;
        }
        if (lengthBytes == 0) {
            markBroken("a descriptor has length 0");
            return false;
        }
        if (chain.readableBytes() + chain.writableBytes() + lengthBytes > MAX_CHAIN_BYTES) {
            markBroken("a chain is longer than 2^32 bytes");
            return false;
        }
        long address = memory.translate(guestAddress, lengthBytes);
        if (address == 0) {
            return appendPieces(chain, guestAddress, lengthBytes, writable);
        }
        if (!chain.append(address, lengthBytes, writable)) {
            markBroken("a chain has more than " + MAX_CHAIN_IOVECS + " pieces");
            return false;
        }
        return true;
    }

    /** A buffer that no single region holds: it may go through several that adjoin. */
    private boolean appendPieces(DescriptorChain chain, long guestAddress, long lengthBytes, boolean writable) {
        long at = guestAddress;
        long left = lengthBytes;
        while (left > 0) {
            long piece = Math.min(left, memory.bytesToRegionEnd(at));
            if (piece == 0) {
                markBroken("no memory region holds " + lengthBytes + " bytes at guest address 0x"
                        + Long.toHexString(guestAddress));
                return false;
            }
            if (!chain.append(memory.translate(at, piece), piece, writable)) {
                markBroken("a chain has more than " + MAX_CHAIN_IOVECS + " pieces");
                return false;
            }
            at += piece;
            left -= piece;
        }
        return true;
    }

    private long indirectTable(long guestAddress, long lengthBytes, int flags, boolean nested) {
        if (!indirect) {
            markBroken("an indirect descriptor, although VIRTIO_F_INDIRECT_DESC was not negotiated");
        } else if (nested) {
            markBroken("an indirect descriptor inside an indirect table");
        } else if ((flags & VRING_DESC_F_NEXT) != 0) {
            markBroken("an indirect descriptor with a next one");
        } else if (lengthBytes == 0
                || lengthBytes % VRING_DESC_SIZE != 0
                || lengthBytes > (long) MAX_CHAIN_DESCRIPTORS * VRING_DESC_SIZE) {
            markBroken("an indirect table of " + lengthBytes + " bytes");
        } else {
            long address = memory.translate(guestAddress, lengthBytes);
            return address != 0 ? address : copyTable(guestAddress, lengthBytes);
        }
        return 0;
    }

    /** A table that no single region holds, put together in private memory; 0 when it is not in guest memory. */
    private long copyTable(long guestAddress, long lengthBytes) {
        long done = 0;
        while (done < lengthBytes) {
            long piece = Math.min(lengthBytes - done, memory.bytesToRegionEnd(guestAddress + done));
            if (piece == 0) {
                markBroken("no memory region holds an indirect table at guest address 0x"
                        + Long.toHexString(guestAddress));
                return 0;
            }
            Memory.copy(memory.translate(guestAddress + done, piece), tableCopy + done, piece);
            done += piece;
        }
        return tableCopy;
    }

    private boolean needsCall(int published) {
        // The driver stores its wish, then loads the index; we stored the index and now load the wish (section 2.7.7).
        VarHandle.fullFence();
        if (callDue) {
            callDue = false;
            return true;
        }
        if (!eventIdx) {
            return (Memory.getUnsignedShort(availFlagsAddress) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
        }
        int usedEvent = Memory.getUnsignedShort(usedEventAddress);
        return ((usedIdx - usedEvent - 1) & 0xffff) < published;
    }

    private void call() {
        if (callFd >= 0) {
            // Fails only with EAGAIN, when calls by the billion are pending, or when the fd is no eventfd: not our
            // loss.
            Libc.write(callFd, one, Long.BYTES);
        }
    }
}

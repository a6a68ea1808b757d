package io.vhostfs.frontend;

import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The driver's side of a split virtqueue (virtio 1.2, section 2.7) in shared memory.
 *
 * <p>Descriptors are the caller's to manage: it writes them, pushes the head of a chain, publishes what it pushed, and
 * takes heads back from the used ring. Nothing is checked about what it writes. One thread at a time; no operation
 * allocates.
 */
public final class DriverQueue {
    /** How far ahead the wish for a call is parked when nobody wants one; half the range of an index. */
    private static final int PARKED = 0x8000;

    private final int mask;
    private final long descriptors;
    private final long availRing;
    private final long availIdx;
    private final long usedRing;
    private final long usedIdx;
    private final long availEvent;
    private final long usedEvent;
    private final boolean eventIdx;
    private short nextAvail;
    private short published;
    private short nextUsed;
    private short refreshAt;
    private final int kickFd;
    private final int callFd;
    /** Eight bytes to write to the kick eventfd, eight to read the call eventfd into; the segment keeps them alive. */
    private final MemorySegment eventBuffer;

    private final int size;
    private final long avail;
    private final long used;
    private long kicks;

    /**
     * Allocates the rings in {@code memory}.
     *
     * @param size entries, a power of two
     * @param kickFd the eventfd to write for a kick; {@link #close} closes both
     */
    public DriverQueue(SharedMemory memory, int size, boolean eventIdx, int kickFd, int callFd) {
        this.size = size;
        this.mask = size - 1;
        this.eventIdx = eventIdx;
        this.kickFd = kickFd;
        this.callFd = callFd;
        // Cache line aligned parts, as Linux allocates them for a modern device.
        descriptors = memory.allocate((long) VRING_DESC_SIZE * size, 4096);
        avail = memory.allocate(VRING_AVAIL_RING_OFFSET + 2L * size + 2, 64);
        used = memory.allocate(VRING_USED_RING_OFFSET + (long) VRING_USED_ELEM_SIZE * size + 2, 64);
        availIdx = avail + VRING_AVAIL_IDX_OFFSET;
        availRing = avail + VRING_AVAIL_RING_OFFSET;
        usedEvent = availRing + 2L * size;
        usedIdx = used + VRING_USED_IDX_OFFSET;
        usedRing = used + VRING_USED_RING_OFFSET;
        availEvent = usedRing + (long) VRING_USED_ELEM_SIZE * size;
        eventBuffer = Arena.ofAuto().allocate(16, 8);
        Memory.putLong(eventBuffer.address(), 1);
        suppressCalls();
    }

    public int size() {
        return size;
    }

    /** The address here of the descriptor table; the avail and the used ring follow. */
    public long descriptorsAddress() {
        return descriptors;
    }

    public long availAddress() {
        return avail;
    }

    public long usedAddress() {
        return used;
    }

    /** The eventfd by which the back end is told of new requests. */
    public int kickFd() {
        return kickFd;
    }

    /** The eventfd by which the back end tells of completions. */
    public int callFd() {
        return callFd;
    }

    /** How many kicks were sent. */
    public long kicks() {
        return kicks;
    }

    /** Writes one descriptor of the ring's own table. */
    public void setDescriptor(int index, long guestAddress, int length, int flags, int next) {
        setDescriptor(descriptors, index, guestAddress, length, flags, next);
    }

    /** Writes one descriptor of any table, as of an indirect one. */
    public static void setDescriptor(long table, int index, long guestAddress, int length, int flags, int next) {
        long at = table + (long) index * VRING_DESC_SIZE;
        Memory.putLong(at + VRING_DESC_ADDR_OFFSET, guestAddress);
        Memory.putInt(at + VRING_DESC_LEN_OFFSET, length);
        Memory.putShort(at + VRING_DESC_FLAGS_OFFSET, (short) flags);
        Memory.putShort(at + VRING_DESC_NEXT_OFFSET, (short) next);
    }

    /** Puts the head of a chain into the avail ring; the back end sees it after {@link #publish}. */
    public void push(int head) {
        Memory.putShort(availRing + 2L * (nextAvail & mask), (short) head);
        nextAvail++;
    }

    /** Shows the back end what was pushed, and kicks it if it wants that. */
    public void publish() {
        short old = published;
        if (old == nextAvail) {
            return;
        }
        published = nextAvail;
        // A full fence between the index and the look at the other side's wish (2.7.13.4.1).
        Memory.putShortVolatile(availIdx, published);
        boolean kick = eventIdx
                ? needEvent(Memory.getShortAcquire(availEvent), published, old)
                : (Memory.getShortAcquire(used) & VRING_USED_F_NO_NOTIFY) == 0;
        if (kick) {
            kick();
        }
    }

    /** Kicks whether or not the back end wants it. */
    public void kick() {
        kicks++;
        Libc.write(kickFd, eventBuffer.address(), 8);
    }

    /** Sets the published index to anything: a driver's error for tests. */
    public void forgeAvailIndex(int index) {
        nextAvail = (short) index;
        published = (short) index;
        Memory.putShortVolatile(availIdx, (short) index);
    }

    /** How many completions lie in the used ring and were not {@link #consume consumed}. */
    public int ready() {
        return (short) (Memory.getShortAcquire(usedIdx) - nextUsed) & 0xffff;
    }

    /** The head of the {@code i}-th ready completion. */
    public int usedHead(int i) {
        return Memory.getInt(usedRing + (long) VRING_USED_ELEM_SIZE * ((nextUsed + i) & mask));
    }

    /** How many bytes the back end says it wrote for the {@code i}-th ready completion. */
    public int usedLength(int i) {
        return Memory.getInt(
                usedRing + (long) VRING_USED_ELEM_SIZE * ((nextUsed + i) & mask) + VRING_USED_ELEM_LEN_OFFSET);
    }

    /** Frees the first {@code count} ready completions. */
    public void consume(int count) {
        nextUsed += (short) count;
        if (eventIdx && (short) (nextUsed - refreshAt) >= 0) {
            suppressCalls();
        }
    }

    /** Asks for no call; the caller polls {@link #ready}. */
    void suppressCalls() {
        if (eventIdx) {
            // Half the range away, refreshed after a quarter: the used index does not get there.
            Memory.putShortRelease(usedEvent, (short) (nextUsed + PARKED));
            refreshAt = (short) (nextUsed + PARKED / 2);
        } else {
            Memory.putShortRelease(avail, (short) VRING_AVAIL_F_NO_INTERRUPT);
        }
    }

    /** Asks for a call at the next completion; returns how many are ready now, for which no call may come. */
    int requestCall() {
        if (eventIdx) {
            Memory.putShortVolatile(usedEvent, nextUsed);
        } else {
            Memory.putShortVolatile(avail, (short) 0);
        }
        return ready();
    }

    /** Takes the calls off the eventfd, which does not block. */
    void drainCalls() {
        Libc.read(callFd, eventBuffer.address() + 8, 8);
    }

    public void close() {
        Libc.close(kickFd);
        Libc.close(callFd);
    }

    /** The index the back end should start from after a restart of the ring. */
    int availIndex() {
        return published & 0xffff;
    }

    private static boolean needEvent(short event, short now, short old) {
        return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
    }
}

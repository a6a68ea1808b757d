package io.vhostfs.virtio;

import io.vhostfs.memory.GuestMemory;
import io.vhostfs.memory.Memory;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * The driver's side of a split virtqueue, laid out as Linux lays it out, over memory that a test owns: well-behaved
 * through {@link #add}, and free to write nonsense through the raw methods.
 *
 * <p>Guest memory is one region. Its start holds descriptor table, available ring and used ring; the rest is handed out by
 * {@link #allocate}. One thread.
 */
public final class VirtioDriver {
    /** One buffer of a chain, in guest addresses. */
    public record Buffer(long guestAddress, int lengthBytes, boolean writable) {}

    /** A used element. */
    public record Used(int head, long lengthBytes) {}

    private final long local;
    private final long guest;
    private final long lengthBytes;
    private final int size;
    private final boolean eventIdx;
    private final int[] freeHeads;
    private int freeCount;
    private final int[] chainLengths;
    private int availIdx;
    private int lastKickCheck;
    private int lastUsed;
    private long nextFree;

    /**
     * @param local where the guest's memory is in this process
     * @param guest its guest physical address
     */
    public VirtioDriver(long local, long guest, long lengthBytes, int size, boolean eventIdx) {
        this.local = local;
        this.guest = guest;
        this.lengthBytes = lengthBytes;
        this.size = size;
        this.eventIdx = eventIdx;
        freeHeads = new int[size];
        chainLengths = new int[size];
        for (int i = 0; i < size; i++) {
            freeHeads[i] = size - 1 - i;
        }
        freeCount = size;
        nextFree = align(usedOffset() + SplitVirtqueue.usedRingBytes(size), 4096);
    }

    public int size() {
        return size;
    }

    public long descOffset() {
        return 0;
    }

    public long availOffset() {
        return SplitVirtqueue.descTableBytes(size);
    }

    public long usedOffset() {
        return align(availOffset() + SplitVirtqueue.availRingBytes(size), 4096);
    }

    /** The memory as the device sees it when it is one region. */
    public GuestMemory memory() {
        return new GuestMemory(new GuestMemory.Region[] {new GuestMemory.Region(guest, guest, lengthBytes, local)});
    }

    /** Starts {@code queue} on this driver's ring. */
    public void start(SplitVirtqueue queue, GuestMemory memory, int lastAvail, long features, int callFd) {
        queue.start(
                memory, local + descOffset(), local + availOffset(), local + usedOffset(), lastAvail, features, callFd);
    }

    /** Guest address of so many fresh bytes. */
    public long allocate(long bytes) {
        long at = nextFree;
        nextFree = align(at + bytes, 16);
        if (nextFree > lengthBytes) {
            throw new IllegalStateException("the guest's memory is used up");
        }
        return guest + at;
    }

    public long toLocal(long guestAddress) {
        return local + (guestAddress - guest);
    }

    // A driver that follows the rules.

    /** Makes a chain available, descriptors in the table; its head. */
    public int add(Buffer... buffers) {
        int[] indices = new int[buffers.length];
        for (int i = 0; i < buffers.length; i++) {
            indices[i] = freeHeads[--freeCount];
        }
        for (int i = 0; i < buffers.length; i++) {
            boolean last = i == buffers.length - 1;
            putDescriptor(
                    indices[i],
                    buffers[i].guestAddress(),
                    buffers[i].lengthBytes(),
                    flags(buffers[i], last),
                    last ? 0 : indices[i + 1]);
        }
        chainLengths[indices[0]] = buffers.length;
        offer(indices[0]);
        return indices[0];
    }

    /** Makes a chain available through an indirect table at {@code tableGuestAddress}; its head. */
    public int addIndirect(long tableGuestAddress, Buffer... buffers) {
        for (int i = 0; i < buffers.length; i++) {
            boolean last = i == buffers.length - 1;
            putDescriptorAt(
                    toLocal(tableGuestAddress) + (long) i * VirtioConstants.VRING_DESC_SIZE,
                    buffers[i].guestAddress(),
                    buffers[i].lengthBytes(),
                    flags(buffers[i], last),
                    last ? 0 : i + 1);
        }
        int head = freeHeads[--freeCount];
        putDescriptor(
                head,
                tableGuestAddress,
                buffers.length * VirtioConstants.VRING_DESC_SIZE,
                VirtioConstants.VRING_DESC_F_INDIRECT,
                0);
        chainLengths[head] = 1;
        offer(head);
        return head;
    }

    /** The next used element, or null; frees its descriptors. */
    public @Nullable Used takeUsed() {
        if (usedIdx() == (lastUsed & 0xffff)) {
            return null;
        }
        long element = local
                + usedOffset()
                + VirtioConstants.VRING_USED_RING_OFFSET
                + (long) (lastUsed & (size - 1)) * VirtioConstants.VRING_USED_ELEM_SIZE;
        lastUsed++;
        Used used = new Used(Memory.getInt(element), Memory.getUnsignedInt(element + 4));
        if (used.head() >= 0 && used.head() < size) {
            int index = used.head();
            for (int i = 0; i < chainLengths[used.head()]; i++) {
                freeHeads[freeCount++] = index;
                index = Memory.getUnsignedShort(descriptorAddress(index) + VirtioConstants.VRING_DESC_NEXT_OFFSET);
            }
            chainLengths[used.head()] = 0;
        }
        return used;
    }

    /** Whether the device wants to be kicked for what was offered since the last call of this method. */
    public boolean needsKick() {
        VarHandle.fullFence();
        int now = availIdx & 0xffff;
        int before = lastKickCheck;
        lastKickCheck = now;
        if (!eventIdx) {
            return (Memory.getShortAcquire(local + usedOffset()) & VirtioConstants.VRING_USED_F_NO_NOTIFY) == 0;
        }
        return ((now - availEvent() - 1) & 0xffff) < ((now - before) & 0xffff);
    }

    // Raw.

    public long descriptorAddress(int index) {
        return local + descOffset() + (long) index * VirtioConstants.VRING_DESC_SIZE;
    }

    public void putDescriptor(int index, long guestAddress, int length, int flags, int next) {
        putDescriptorAt(descriptorAddress(index), guestAddress, length, flags, next);
    }

    public static void putDescriptorAt(long at, long guestAddress, int length, int flags, int next) {
        Memory.putLong(at + VirtioConstants.VRING_DESC_ADDR_OFFSET, guestAddress);
        Memory.putInt(at + VirtioConstants.VRING_DESC_LEN_OFFSET, length);
        Memory.putShort(at + VirtioConstants.VRING_DESC_FLAGS_OFFSET, (short) flags);
        Memory.putShort(at + VirtioConstants.VRING_DESC_NEXT_OFFSET, (short) next);
    }

    /** Puts a head into the available ring and publishes it. */
    public void offer(int head) {
        Memory.putShort(
                local + availOffset() + VirtioConstants.VRING_AVAIL_RING_OFFSET + 2L * (availIdx & (size - 1)),
                (short) head);
        setAvailIdx(availIdx + 1);
    }

    public void setAvailIdx(int idx) {
        availIdx = idx;
        Memory.putShortRelease(local + availOffset() + VirtioConstants.VRING_AVAIL_IDX_OFFSET, (short) idx);
    }

    /** Starts counting at {@code idx} on both rings, as a driver does that was migrated. */
    public void startAt(int idx) {
        setAvailIdx(idx);
        lastKickCheck = idx & 0xffff;
        lastUsed = idx;
        Memory.putShort(local + usedOffset() + VirtioConstants.VRING_USED_IDX_OFFSET, (short) idx);
    }

    public int availIdx() {
        return availIdx & 0xffff;
    }

    public int usedIdx() {
        return Memory.getShortAcquire(local + usedOffset() + VirtioConstants.VRING_USED_IDX_OFFSET) & 0xffff;
    }

    public void setAvailFlags(int flags) {
        Memory.putShort(local + availOffset(), (short) flags);
    }

    public void setUsedEvent(int idx) {
        Memory.putShort(local + availOffset() + VirtioConstants.VRING_AVAIL_RING_OFFSET + 2L * size, (short) idx);
    }

    public int availEvent() {
        return Memory.getUnsignedShort(local
                + usedOffset()
                + VirtioConstants.VRING_USED_RING_OFFSET
                + (long) VirtioConstants.VRING_USED_ELEM_SIZE * size);
    }

    private static int flags(Buffer buffer, boolean last) {
        return (buffer.writable() ? VirtioConstants.VRING_DESC_F_WRITE : 0)
                | (last ? 0 : VirtioConstants.VRING_DESC_F_NEXT);
    }

    private static long align(long value, long alignment) {
        return (value + alignment - 1) & -alignment;
    }
}

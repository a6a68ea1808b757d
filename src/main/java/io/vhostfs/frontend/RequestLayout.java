package io.vhostfs.frontend;

import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.memory.Memory;

/**
 * Writes the descriptors of one FUSE request as Linux's virtio-fs driver lays them out: in header, in arguments, in pages,
 * then, for the device to write, out header, out arguments, out pages.
 *
 * <p>Empty parts have no descriptor, and pages have one each. One builder per request; one thread.
 */
public final class RequestLayout {
    /** The driver hands over single pages, neighbours or not. */
    public static final int PAGE_BYTES = 4096;

    /** Headers and arguments, readable and writable. */
    public static final int MAX_FIXED_PARTS = 4;

    private final SharedMemory memory;
    private final long table;
    private final int firstIndex;
    private int count;

    /** Descriptors go to {@code table} from {@code firstIndex} on, which is 0 for an indirect table. */
    public RequestLayout(SharedMemory memory, long table, int firstIndex) {
        this.memory = memory;
        this.table = table;
        this.firstIndex = firstIndex;
    }

    public RequestLayout readable(long address, int length) {
        return part(address, length, 0);
    }

    public RequestLayout readablePages(long address, int length) {
        return pages(address, length, 0);
    }

    public RequestLayout writable(long address, int length) {
        return part(address, length, VRING_DESC_F_WRITE);
    }

    public RequestLayout writablePages(long address, int length) {
        return pages(address, length, VRING_DESC_F_WRITE);
    }

    /** Ends the chain; returns the number of descriptors. */
    public int end() {
        long flags = table + (long) (firstIndex + count - 1) * VRING_DESC_SIZE + VRING_DESC_FLAGS_OFFSET;
        Memory.putShort(flags, (short) (Memory.getShort(flags) & ~VRING_DESC_F_NEXT));
        return count;
    }

    private RequestLayout part(long address, int length, int flags) {
        if (length > 0) {
            int index = firstIndex + count++;
            DriverQueue.setDescriptor(
                    table, index, memory.guestAddress(address), length, flags | VRING_DESC_F_NEXT, index + 1);
        }
        return this;
    }

    private RequestLayout pages(long address, int length, int flags) {
        for (int done = 0; done < length; done += PAGE_BYTES) {
            part(address + done, Math.min(PAGE_BYTES, length - done), flags);
        }
        return this;
    }
}

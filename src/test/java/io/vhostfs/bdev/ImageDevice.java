package io.vhostfs.bdev;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.util.Arrays;
import java.util.BitSet;

/** A disk that is an array: what is on it can be changed behind everyone's back, kept, and put back quickly. */
public final class ImageDevice extends TestDevice {
    private final byte[] image;
    private byte[] kept = new byte[0];
    private final BitSet changed = new BitSet();

    /** Nothing is written from this one on, and nothing is answered but EIO: the power has gone. Counted down. */
    public long writesUntilCut = Long.MAX_VALUE;

    public long writes;

    public ImageDevice(int capacityBytes) {
        this(new byte[capacityBytes]);
    }

    public ImageDevice(byte[] image) {
        super("image");
        this.image = image;
    }

    /** What is there now is what {@link #restore} puts back. */
    public void keep() {
        kept = image.clone();
        changed.clear();
    }

    public void restore() {
        for (int b = changed.nextSetBit(0); b >= 0; b = changed.nextSetBit(b + 1)) {
            System.arraycopy(kept, b * BLOCK, image, b * BLOCK, BLOCK);
        }
        changed.clear();
        writesUntilCut = Long.MAX_VALUE;
    }

    /** Whether anything differs from what was kept. */
    public boolean isChanged() {
        return !Arrays.equals(kept, image);
    }

    public byte[] copy() {
        return image.clone();
    }

    public byte[] read(long block, int blocks) {
        return Arrays.copyOfRange(image, (int) block * BLOCK, (int) (block + blocks) * BLOCK);
    }

    public void write(long block, byte[] bytes) {
        System.arraycopy(bytes, 0, image, (int) block * BLOCK, bytes.length);
        changed.set((int) block, (int) block + bytes.length / BLOCK);
    }

    public void flipBit(long block, int bit) {
        image[(int) block * BLOCK + bit / 8] ^= (byte) (1 << bit % 8);
        changed.set((int) block + bit / 8 / BLOCK);
    }

    @Override
    public long capacityBytes() {
        return image.length;
    }

    @Override
    protected int answer(BlockIo io) {
        boolean write = io.operation == BlockIo.WRITE;
        if (write && writesUntilCut > 0) {
            writesUntilCut--;
        } else if (writesUntilCut <= 0) {
            return -Errno.EIO;
        }
        if (io.operation == BlockIo.FLUSH) {
            return 0;
        }
        if (io.offsetBytes < 0 || io.lengthBytes < 0 || io.offsetBytes > image.length - io.lengthBytes) {
            return -Errno.EIO;
        }
        if (write) {
            writes++;
            changed.set((int) (io.offsetBytes / BLOCK), (int) ((io.offsetBytes + io.lengthBytes - 1) / BLOCK) + 1);
        }
        int at = (int) io.offsetBytes;
        for (int i = 0; i < io.iovecCount; i++) {
            long base = Iovecs.base(io.iovecsAddress, i);
            int length = (int) Iovecs.length(io.iovecsAddress, i);
            if (write) {
                Memory.copyToArray(base, image, at, length);
            } else {
                Memory.copyFromArray(image, at, base, length);
            }
            at += length;
        }
        return 0;
    }
}

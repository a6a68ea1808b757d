package io.vhostfs.sim;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * What files are filled with: every eight bytes name the inode, the write and the place, so that whatever turns up
 * somewhere says where it is from.
 */
final class Pattern {
    private static final int INODE_SHIFT = 40;
    private static final int WRITE_SHIFT = 20;
    private static final long MASK_20 = (1L << 20) - 1;

    private Pattern() {}

    static byte[] fill(long inode, long write, long offset, int length) {
        byte[] data = new byte[length];
        for (int i = 0; i < length; i++) {
            long at = offset + i;
            data[i] = (byte) (word(inode, write, at) >>> ((at & 7) * 8));
        }
        return data;
    }

    private static long word(long inode, long write, long offset) {
        return (inode << INODE_SHIFT) | ((write & MASK_20) << WRITE_SHIFT) | ((offset >>> 3) & MASK_20);
    }

    /** Whether all bytes are zero or of that inode and place; which write they are of does not matter. */
    static boolean isOwn(byte[] data, long inode) {
        return isOwn(data, inode, 0);
    }

    /** The same of a part of the file, from {@code offset} on. */
    static boolean isOwn(byte[] data, long inode, long offset) {
        for (int index = 0; index < data.length; index++) {
            long at = offset + index;
            int i = (int) at & 7;
            boolean isTag = i < 2 || i > 4;
            if (isTag && data[index] != 0 && data[index] != (byte) (word(inode, 0, at) >>> (i * 8))) {
                return false;
            }
        }
        return true;
    }

    /** The inode that eight bytes name; 0: none. */
    static long inodeOf(long word) {
        return word >>> INODE_SHIFT;
    }

    static long offsetOf(long word) {
        return (word & MASK_20) << 3;
    }

    /** In words, in short: runs of what was written by the same write. */
    static String describe(byte[] data, int from, int length) {
        StringBuilder text = new StringBuilder("[");
        ByteBuffer words = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        String last = "";
        for (int at = from; at + 8 <= from + length; at += 8) {
            long word = words.getLong(at);
            String name = word == 0
                    ? "0"
                    : "inode " + inodeOf(word) + " write " + ((word >>> WRITE_SHIFT) & MASK_20) + " from "
                            + (offsetOf(word) - at + from);
            if (!name.equals(last)) {
                text.append(text.length() > 1 ? ", " : "")
                        .append("+")
                        .append(at - from)
                        .append(": ")
                        .append(name);
                last = name;
            }
        }
        return text.append(']').toString();
    }
}

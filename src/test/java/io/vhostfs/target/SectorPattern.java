package io.vhostfs.target;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Data that says who wrote it: each sector carries its writer, its place in the file and a version, and is filled with
 * bytes that follow from these. So what is read back is told sector by sector: zeros, one certain write, or foreign.
 */
final class SectorPattern {
    static final int SECTOR = 512;

    /** Nothing was written here. */
    static final long ZERO = 0;

    /** No sector of this writer for this place. */
    static final long FOREIGN = -1;

    private static final long MAGIC = 0x4b49_4c4c_5345_4354L;
    private static final int WORDS = SECTOR / Long.BYTES;

    private SectorPattern() {}

    /** Fills whole sectors that lie at {@code offset} of a file. */
    static void fill(byte[] data, int writer, long offset, long version) {
        ByteBuffer to = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; at < data.length; at += SECTOR) {
            for (int word = 0; word < WORDS; word++) {
                to.putLong(at + word * Long.BYTES, word(word, writer, offset + at, version));
            }
        }
    }

    /** The version of the sector at {@code at}, which lies at {@code offset} of its file; or ZERO, or FOREIGN. */
    static long version(byte[] data, int at, int writer, long offset) {
        ByteBuffer from = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        long version = from.getLong(at + 2 * Long.BYTES);
        boolean isPattern = version > 0;
        boolean isZero = true;
        for (int word = 0; word < WORDS; word++) {
            long found = from.getLong(at + word * Long.BYTES);
            isPattern &= found == word(word, writer, offset, version);
            isZero &= found == 0;
        }
        if (isZero) {
            return ZERO;
        }
        return isPattern ? version : FOREIGN;
    }

    private static long word(int word, int writer, long offset, long version) {
        return switch (word) {
            case 0 -> MAGIC ^ (long) writer << 32;
            case 1 -> offset;
            case 2 -> version;
            default -> (version * 0x9e37_79b9_7f4a_7c15L + offset) * (word | 1) ^ writer;
        };
    }
}

package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32C;

/**
 * A block of a file that says of itself who wrote it, into which file, at which step and as which of how many blocks; with a
 * checksum, so that one made of two is told.
 *
 * @param writer a name of at most 8 bytes
 * @param file a name of at most 8 bytes
 */
record TreeBlock(String writer, String file, long step, int index, int count) {
    static final int BYTES = 4096;

    private static final int NAME_BYTES = 8;
    private static final int STEP_OFFSET = 2 * NAME_BYTES;
    private static final int INDEX_OFFSET = STEP_OFFSET + 8;
    private static final int COUNT_OFFSET = INDEX_OFFSET + 4;
    private static final int CHECKSUM_OFFSET = COUNT_OFFSET + 4;
    private static final int FILL_OFFSET = CHECKSUM_OFFSET + 8;

    private static void putName(ByteBuffer block, int offset, String name) {
        block.put(offset, name.getBytes(StandardCharsets.US_ASCII));
    }

    private static String name(ByteBuffer block, int offset) {
        byte[] bytes = new byte[NAME_BYTES];
        block.get(offset, bytes);
        return new String(bytes, StandardCharsets.US_ASCII).replace("\0", "");
    }

    private static int checksum(ByteBuffer block) {
        CRC32C crc = new CRC32C();
        crc.update(block.duplicate().position(0).limit(CHECKSUM_OFFSET));
        crc.update(block.duplicate().position(FILL_OFFSET).limit(BYTES));
        return (int) crc.getValue();
    }

    /** A file of blocks of one step. */
    static ByteBuffer file(String writer, String file, long step, int count) {
        ByteBuffer all = ByteBuffer.allocate(count * BYTES);
        for (int i = 0; i < count; i++) {
            all.put(new TreeBlock(writer, file, step, i, count).bytes());
        }
        return all.flip();
    }

    ByteBuffer bytes() {
        ByteBuffer block = ByteBuffer.allocate(BYTES).order(ByteOrder.LITTLE_ENDIAN);
        putName(block, 0, writer);
        putName(block, NAME_BYTES, file);
        block.putLong(STEP_OFFSET, step).putInt(INDEX_OFFSET, index).putInt(COUNT_OFFSET, count);
        for (int at = FILL_OFFSET; at < BYTES; at += Long.BYTES) {
            block.putLong(at, (step * 31 + index) * 0x9E3779B97F4A7C15L + at);
        }
        return block.putInt(CHECKSUM_OFFSET, checksum(block));
    }

    /** Whether the bytes are those of one block, whichever. */
    static boolean isWhole(ByteBuffer block) {
        return block.order(ByteOrder.LITTLE_ENDIAN).getInt(CHECKSUM_OFFSET) == checksum(block);
    }

    /** What is in a block that must be whole. */
    static TreeBlock of(ByteBuffer block, String where) {
        assertTrue(
                isWhole(block),
                () -> where + ": a block is torn: writer " + name(block, 0) + ", file "
                        + name(block, NAME_BYTES) + ", step " + block.getLong(STEP_OFFSET) + ", block "
                        + block.getInt(INDEX_OFFSET));
        return new TreeBlock(
                name(block, 0),
                name(block, NAME_BYTES),
                block.getLong(STEP_OFFSET),
                block.getInt(INDEX_OFFSET),
                block.getInt(COUNT_OFFSET));
    }

    /** The first block of a file whose blocks must all be of one step. */
    static TreeBlock ofFile(ByteBuffer all, String where) {
        assertEquals(0, all.remaining() % BYTES, () -> where + ": " + all.remaining() + " bytes");
        TreeBlock first = of(all.slice(0, BYTES), where);
        for (int i = 0; i < all.remaining() / BYTES; i++) {
            TreeBlock expected = new TreeBlock(first.writer, first.file, first.step, i, all.remaining() / BYTES);
            assertEquals(expected, of(all.slice(i * BYTES, BYTES), where), where);
        }
        return first;
    }
}

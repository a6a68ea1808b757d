package io.vhostfs.blobfs;

import io.vhostfs.bdev.ImageDevice;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32C;

/** Where the structures of a store are, read from the device as docs/on-disk-format.md says. */
final class Blocks {
    static final int NODE_BLOCKS = 4;
    private static final int NODE_BYTES = NODE_BLOCKS * ImageDevice.BLOCK;
    private static final long LOG_START = 8;

    /** A log record: where it starts and how many blocks it takes. */
    record LogRecord(long block, int blocks) {}

    private Blocks() {}

    private static ByteBuffer read(ImageDevice device, long block, int blocks) {
        return view(device.read(block, blocks));
    }

    /** The block of the newest root slot. */
    static int newestSlot(ImageDevice device) {
        int newest = 2;
        for (int b = 3; b < 6; b++) {
            newest = read(device, b, 1).getLong(40) > read(device, newest, 1).getLong(40) ? b : newest;
        }
        return newest;
    }

    /** Block and level of every node of the newest checkpoint. */
    static Map<Long, Integer> nodes(ImageDevice device) {
        Map<Long, Integer> nodes = new TreeMap<>();
        addNodes(device, read(device, newestSlot(device), 1).getLong(48), nodes);
        return nodes;
    }

    private static void addNodes(ImageDevice device, long block, Map<Long, Integer> nodes) {
        ByteBuffer node = read(device, block, NODE_BLOCKS);
        int level = node.getShort(32);
        nodes.put(block, level);
        for (int i = 0; level > 0 && i < node.getShort(34); i++) {
            addNodes(device, node.getLong(6592 + 24 * i), nodes);
        }
    }

    /** The records behind the newest checkpoint. */
    static List<LogRecord> log(ImageDevice device) {
        ByteBuffer slot = read(device, newestSlot(device), 1);
        long ring = read(device, 0, 1).getLong(88);
        long position = slot.getLong(80);
        long sequence = slot.getLong(72);
        List<LogRecord> records = new ArrayList<>();
        while (true) {
            long block = LOG_START + position % ring;
            ByteBuffer record = read(device, block, 1);
            if (record.getInt(0) != 0x474f4c56 || record.getLong(24) != sequence) {
                return records;
            }
            int blocks = (record.getInt(32) + ImageDevice.BLOCK - 1) / ImageDevice.BLOCK;
            records.add(new LogRecord(block, blocks));
            position += blocks;
            sequence++;
        }
    }

    /** The node with one byte changed and the generation one less: what an earlier checkpoint might have written there. */
    static byte[] olderNode(ImageDevice device, long block) {
        byte[] node = device.read(block, NODE_BLOCKS);
        ByteBuffer view = view(node);
        view.putLong(16, view.getLong(16) - 1);
        seal(node, 8, 4, NODE_BYTES);
        return node;
    }

    /** A valid record of one round of the ring ago. */
    static byte[] olderRecord(ImageDevice device, LogRecord record) {
        byte[] bytes = device.read(record.block, record.blocks);
        ByteBuffer view = view(bytes);
        view.putLong(24, view.getLong(24) - 50);
        seal(bytes, 8, 4, view.getInt(32));
        return bytes;
    }

    static ByteBuffer view(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Puts the checksum of a range into the structure; returns it. */
    static int seal(byte[] bytes, int from, int crcOffset, int to) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, from, to - from);
        view(bytes).putInt(crcOffset, (int) crc.getValue());
        return (int) crc.getValue();
    }
}

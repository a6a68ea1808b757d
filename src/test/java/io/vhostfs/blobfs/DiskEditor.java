package io.vhostfs.blobfs;

import io.vhostfs.bdev.ImageDevice;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Changes bytes of a store on a device and makes all checksums right again, from the leaves to the root slots and along the
 * log: so that what comes after the checksums sees the change.
 */
final class DiskEditor {
    private static final int BLOCK = ImageDevice.BLOCK;

    /** An item of a leaf: offsets of its slot and its value on the device. */
    record Item(int slotOffset, int valueOffset, int length) {}

    private record Child(long block, int parentOffset, int level) {}

    private final ImageDevice device;
    private final List<Child> nodes = new ArrayList<>();
    private final List<Blocks.LogRecord> log;
    private final long rootBlock;

    /** For the store that is on the device now: where its structures are does not change with what is in them. */
    DiskEditor(ImageDevice device) {
        this.device = device;
        log = Blocks.log(device);
        rootBlock = get(Blocks.newestSlot(device) * BLOCK + 48, 8);
        addNodes(rootBlock, -1);
    }

    private void addNodes(long block, int parentOffset) {
        int at = (int) block * BLOCK;
        int level = (int) get(at + 32, 2);
        nodes.add(new Child(block, parentOffset, level));
        for (int i = 0; level > 0 && i < get(at + 34, 2); i++) {
            addNodes(get(at + 6592 + 24 * i, 8), at + 6592 + 24 * i);
        }
    }

    List<Long> nodeBlocks() {
        return nodes.stream().map(Child::block).toList();
    }

    List<Long> innerBlocks() {
        return nodes.stream().filter(n -> n.level > 0).map(Child::block).toList();
    }

    List<Long> logBlocks() {
        List<Long> blocks = new ArrayList<>();
        for (Blocks.LogRecord record : log) {
            for (int i = 0; i < record.blocks(); i++) {
                blocks.add(record.block() + i);
            }
        }
        return blocks;
    }

    List<Item> items() {
        List<Item> items = new ArrayList<>();
        for (Child node : nodes) {
            int at = (int) node.block * BLOCK;
            for (int i = 0; node.level == 0 && i < get(at + 34, 2); i++) {
                int slot = at + 64 + 24 * i;
                items.add(new Item(slot, at + (int) get(slot + 16, 2), (int) get(slot + 18, 2)));
            }
        }
        return items;
    }

    long get(int offset, int width) {
        ByteBuffer block = Blocks.view(device.read(offset / BLOCK, 2));
        int at = offset % BLOCK;
        return switch (width) {
            case 1 -> block.get(at) & 0xff;
            case 2 -> block.getShort(at) & 0xffff;
            case 4 -> block.getInt(at) & 0xffff_ffffL;
            default -> block.getLong(at);
        };
    }

    void put(int offset, int width, long value) {
        byte[] bytes = device.read(offset / BLOCK, 2);
        ByteBuffer block = Blocks.view(bytes);
        int at = offset % BLOCK;
        switch (width) {
            case 1 -> block.put(at, (byte) value);
            case 2 -> block.putShort(at, (short) value);
            case 4 -> block.putInt(at, (int) value);
            default -> block.putLong(at, value);
        }
        device.write(offset / BLOCK, bytes);
    }

    /** Makes every checksum right. */
    void sealAll() {
        for (int i = nodes.size() - 1; i >= 0; i--) {
            Child node = nodes.get(i);
            int crc = seal(node.block, Blocks.NODE_BLOCKS, 8, 4, Blocks.NODE_BLOCKS * BLOCK);
            if (node.parentOffset >= 0) {
                put(node.parentOffset + 16, 4, crc);
            }
        }
        int rootCrc = (int) get((int) rootBlock * BLOCK + 4, 4);
        for (int slot = 2; slot < 6; slot++) {
            if (get(slot * BLOCK + 48, 8) == rootBlock) {
                put(slot * BLOCK + 64, 4, rootCrc);
            }
            seal(slot, 1, 12, 8, BLOCK);
        }
        seal(0, 1, 12, 8, BLOCK);
        seal(1, 1, 12, 8, BLOCK);
        int chain = (int) get(Blocks.newestSlot(device) * BLOCK + 68, 4);
        for (Blocks.LogRecord record : log) {
            put((int) record.block() * BLOCK + 36, 4, chain);
            int length = (int) get((int) record.block() * BLOCK + 32, 4);
            chain = seal(record.block(), record.blocks(), 8, 4, Math.clamp(length, 64, record.blocks() * BLOCK));
        }
    }

    private int seal(long block, int blocks, int from, int crcOffset, int to) {
        byte[] bytes = device.read(block, blocks);
        int crc = Blocks.seal(bytes, from, crcOffset, to);
        device.write(block, bytes);
        return crc;
    }
}

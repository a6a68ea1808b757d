package io.vhostfs.nvme;

import io.vhostfs.memory.Memory;

/**
 * What a namespace is (Identify, CNS 0; NVM command set 4.1.5.1), checked for sense.
 *
 * @param nsid its identifier
 * @param blockBytes logical block, or 0 when {@link #unusable} says why
 * @param blocks logical blocks
 * @param atomicBytes largest naturally aligned power of two that a power cut leaves whole or untouched
 * @param identity NGUID or EUI-64 in hexadecimal, as far as the drive has them
 * @param unusable why we cannot use it, or empty
 */
public record NamespaceInfo(int nsid, int blockBytes, long blocks, int atomicBytes, String identity, String unusable) {
    private static final int NSZE = 0;
    private static final int NSFEAT = 24;
    private static final int NLBAF = 25;
    private static final int FLBAS = 26;
    private static final int NAWUPF = 36;
    private static final int NABSN = 40;
    private static final int NABO = 42;
    private static final int NABSPF = 44;
    private static final int NGUID = 104;
    private static final int EUI64 = 120;
    private static final int LBAF = 128;
    private static final int NSFEAT_ATOMIC = 2;

    private static final int MIN_BLOCK_SHIFT = 9;
    private static final int MAX_BLOCK_SHIFT = 12;

    public long capacityBytes() {
        return blocks * blockBytes;
    }

    public boolean isUsable() {
        return unusable.isEmpty();
    }

    static NamespaceInfo read(int nsid, long data, ControllerInfo controller) {
        int flbas = Memory.getUnsignedByte(data + FLBAS);
        int index = (flbas & 0xf) | (flbas >> 1 & 0x30);
        int formats = Memory.getUnsignedByte(data + NLBAF) + 1;
        long format = data + LBAF + 4L * index;
        int metadata = Memory.getUnsignedShort(format);
        int shift = Memory.getUnsignedByte(format + 2);
        long blocks = Memory.getLong(data + NSZE);
        String identity = identity(data);
        String unusable = "";
        if (index >= Math.min(formats, 64)) {
            unusable = "its format " + index + " is not among its " + formats;
        } else if (shift < MIN_BLOCK_SHIFT || shift > MAX_BLOCK_SHIFT) {
            unusable = "it has blocks of 2^" + shift + " bytes, possible are 512 to 4096; format it anew: nvme format";
        } else if (metadata != 0) {
            unusable = "it has " + metadata + " bytes of metadata for each block; format it anew: nvme format";
        } else if (blocks <= 0 || blocks > Long.MAX_VALUE >> shift) {
            unusable = "it claims " + Long.toUnsignedString(blocks) + " blocks";
        }
        if (!unusable.isEmpty()) {
            return new NamespaceInfo(nsid, 0, 0, 0, identity, unusable);
        }
        int blockBytes = 1 << shift;
        return new NamespaceInfo(nsid, blockBytes, blocks, atomicBytes(data, blockBytes, controller), identity, "");
    }

    private static int atomicBytes(long data, int blockBytes, ControllerInfo controller) {
        boolean own = (Memory.getByte(data + NSFEAT) & NSFEAT_ATOMIC) != 0;
        long blocks = own ? Memory.getUnsignedShort(data + NAWUPF) + 1L : controller.atomicBlocksPowerFail();
        int boundary = Memory.getUnsignedShort(data + NABSPF);
        if (Memory.getUnsignedShort(data + NABSN) != 0 && boundary != 0) {
            // An aligned power of two crosses no boundary that is a multiple of it and starts at 0.
            blocks = Memory.getUnsignedShort(data + NABO) == 0
                    ? Math.min(blocks, Integer.lowestOneBit(boundary + 1))
                    : 1;
        }
        // What is copied goes in pieces of a bounce buffer.
        long bytes = Math.min(blocks * blockBytes, Math.min(QueuePair.BOUNCE_BYTES, controller.maxTransferBytes()));
        return (int) Math.max(blockBytes, Long.highestOneBit(bytes));
    }

    private static String identity(long data) {
        String nguid = hex(data + NGUID, 16);
        return nguid.isEmpty() ? hex(data + EUI64, 8) : nguid;
    }

    private static String hex(long at, int length) {
        StringBuilder text = new StringBuilder();
        boolean any = false;
        for (int i = 0; i < length; i++) {
            int value = Memory.getUnsignedByte(at + i);
            any |= value != 0;
            text.append("%02x".formatted(value));
        }
        return any ? text.toString() : "";
    }
}

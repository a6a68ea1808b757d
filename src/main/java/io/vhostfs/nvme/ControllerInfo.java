package io.vhostfs.nvme;

import io.vhostfs.memory.Memory;
import java.nio.charset.StandardCharsets;

/**
 * What a controller says of itself (Identify, CNS 1; base 5.17.2.1), checked for sense.
 *
 * @param vendorId PCI vendor
 * @param serial serial number, model and firmware: printable characters only
 * @param maxTransferBytes largest data of one command, cut to what one list page describes
 * @param abortLimit aborts at once, at least 1
 * @param admin optional admin commands
 * @param io optional I/O commands
 * @param volatileCache whether there is a volatile write cache, on or off
 * @param atomicBlocksPowerFail blocks written whole or not at all when power fails, at least 1
 * @param sgls whether commands may use SGLs
 * @param namespaces largest namespace identifier
 */
public record ControllerInfo(
        int vendorId,
        String serial,
        String model,
        String firmware,
        int maxTransferBytes,
        int abortLimit,
        int admin,
        int io,
        boolean volatileCache,
        int atomicBlocksPowerFail,
        boolean sgls,
        long namespaces) {
    private static final int SN = 4;
    private static final int MN = 24;
    private static final int FR = 64;
    private static final int MDTS = 77;
    private static final int OACS = 256;
    private static final int ACL = 258;
    private static final int NN = 516;
    private static final int ONCS = 520;
    private static final int VWC = 525;
    private static final int AWUPF = 528;
    private static final int SGLS = 536;

    /** Beyond this a shift of a page is larger than any transfer of ours. */
    private static final int MAX_MDTS_SHIFT = 18;

    static ControllerInfo read(long data) {
        int mdts = Memory.getUnsignedByte(data + MDTS);
        long limit = mdts == 0 || mdts > MAX_MDTS_SHIFT ? Long.MAX_VALUE : (long) NvmeConstants.NVME_PAGE_BYTES << mdts;
        return new ControllerInfo(
                Memory.getUnsignedShort(data),
                text(data + SN, 20),
                text(data + MN, 40),
                text(data + FR, 8),
                (int) Math.min(limit, DataPointer.MAX_TRANSFER_BYTES),
                Memory.getUnsignedByte(data + ACL) + 1,
                Memory.getUnsignedShort(data + OACS),
                Memory.getUnsignedShort(data + ONCS),
                (Memory.getByte(data + VWC) & 1) != 0,
                Memory.getUnsignedShort(data + AWUPF) + 1,
                (Memory.getInt(data + SGLS) & 3) != 0,
                Memory.getUnsignedInt(data + NN));
    }

    private static String text(long at, int length) {
        byte[] bytes = new byte[length];
        Memory.copyToArray(at, bytes, 0, length);
        return new String(bytes, StandardCharsets.ISO_8859_1)
                .replaceAll("[^ -~]", "?")
                .strip();
    }

    public boolean hasShadowDoorbells() {
        return (admin & NvmeConstants.NVME_OACS_DBBUF) != 0;
    }

    public boolean hasDeallocate() {
        return (io & NvmeConstants.NVME_ONCS_DATASET_MANAGEMENT) != 0;
    }

    public boolean hasWriteZeroes() {
        return (io & NvmeConstants.NVME_ONCS_WRITE_ZEROES) != 0;
    }
}

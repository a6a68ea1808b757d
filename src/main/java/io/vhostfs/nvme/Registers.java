package io.vhostfs.nvme;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeException.Kind;
import java.util.concurrent.TimeUnit;

/**
 * A controller's registers: what it can do, and how it is switched off and on (base 3.5).
 *
 * <p>Invariant: a controller that {@link #disable} has returned for transfers no data any more. Under the controller's lock,
 * but for the addresses of doorbells.
 */
final class Registers {
    private static final int CSS_NVM = 1;

    private final NvmeTransport transport;
    private final String name;
    private final long address;
    private long capabilities;

    Registers(NvmeTransport transport) {
        this.transport = transport;
        this.name = transport.name();
        this.address = transport.registersAddress();
    }

    /** Reads what it can do; anew after each reset. */
    void readCapabilities() throws NvmeException {
        capabilities = Memory.getLong(address + NVME_REG_CAP);
        if (isGone()) {
            throw gone();
        }
        if ((capabilities >>> NVME_CAP_CSS_SHIFT & CSS_NVM) == 0) {
            throw unsupported("it has no NVM command set");
        }
        if ((capabilities >>> NVME_CAP_MPSMIN_SHIFT & 0xf) != 0) {
            throw unsupported("it has no memory pages of 4096 bytes");
        }
        if (doorbell(NvmeOptions.MAX_QUEUE_PAIRS, true) + Integer.BYTES > address + transport.registersBytes()
                && doorbell(1, true) + Integer.BYTES > address + transport.registersBytes()) {
            throw unsupported("its doorbells lie outside its registers");
        }
        if (maxQueueEntries() < 2) {
            throw unsupported("its queues have one entry");
        }
    }

    int maxQueueEntries() {
        return (int) (capabilities & 0xffff) + 1;
    }

    int doorbellStride() {
        return Integer.BYTES << (capabilities >>> NVME_CAP_DSTRD_SHIFT & 0xf);
    }

    /** Address of a queue's doorbell. */
    long doorbell(int queueId, boolean completion) {
        return address + NVME_REG_DOORBELLS + (2L * queueId + (completion ? 1 : 0)) * doorbellStride();
    }

    /** Whether the doorbells of {@code queueId} lie within the mapped registers. */
    boolean hasDoorbells(int queueId) {
        return doorbell(queueId, true) + Integer.BYTES <= address + transport.registersBytes();
    }

    int status() {
        return Memory.getInt(address + NVME_REG_CSTS);
    }

    boolean isGone() {
        return status() == NVME_GONE;
    }

    boolean isFatal() {
        return (status() & NVME_CSTS_CFS) != 0;
    }

    /** Takes it to the disabled state, whatever state it is in. */
    void disable() throws NvmeException {
        int configuration = Memory.getInt(address + NVME_REG_CC);
        if ((configuration & NVME_CC_EN) != 0) {
            if ((status() & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == 0) {
                // One that is being enabled must not be disabled half-way; it may never get there, too.
                awaitReady(NVME_CSTS_RDY, true);
            }
            Memory.putIntRelease(address + NVME_REG_CC, configuration & ~NVME_CC_EN & ~NVME_CC_SHN_MASK);
        }
        if (!awaitReady(0, false)) {
            throw new NvmeException(
                    Kind.FAILED,
                    name + ": does not stop within " + timeoutMs() + " ms; remedy: reset the drive's power");
        }
    }

    /** Takes it from the disabled to the ready state. */
    void enable() throws NvmeException {
        Memory.putIntRelease(
                address + NVME_REG_CC,
                NVME_SQE_BYTES_LOG2 << NVME_CC_IOSQES_SHIFT | NVME_CQE_BYTES_LOG2 << NVME_CC_IOCQES_SHIFT | NVME_CC_EN);
        if (!awaitReady(NVME_CSTS_RDY, true)) {
            throw new NvmeException(
                    Kind.FAILED,
                    name + ": does not become ready within " + timeoutMs() + " ms (status 0x"
                            + Integer.toHexString(status()) + "); remedy: reset the drive's power, or replace it");
        }
    }

    /** Tells the drive that its power may go, and waits until its cache is safe; false when that takes too long. */
    boolean shutDown(long timeoutNs) throws NvmeException {
        int configuration = Memory.getInt(address + NVME_REG_CC);
        Memory.putIntRelease(address + NVME_REG_CC, (configuration & ~NVME_CC_SHN_MASK) | NVME_CC_SHN_NORMAL);
        long startNs = transport.nowNs();
        while ((status() & NVME_CSTS_SHST_MASK) != NVME_CSTS_SHST_COMPLETE) {
            if (isGone()) {
                throw gone();
            }
            if (transport.nowNs() - startNs > timeoutNs) {
                return false;
            }
            transport.pause();
        }
        return true;
    }

    private boolean awaitReady(int wanted, boolean endAtFatal) throws NvmeException {
        long deadlineNs = transport.nowNs() + TimeUnit.MILLISECONDS.toNanos(timeoutMs());
        while ((status() & NVME_CSTS_RDY) != wanted) {
            if (isGone()) {
                throw gone();
            }
            if ((endAtFatal && isFatal()) || transport.nowNs() - deadlineNs > 0) {
                return false;
            }
            transport.pause();
        }
        return !isGone();
    }

    /** CAP.TO counts half seconds; 0 still leaves it one. */
    private long timeoutMs() {
        return Math.max(1, capabilities >>> NVME_CAP_TO_SHIFT & 0xff) * NVME_CAP_TO_UNIT_MS;
    }

    NvmeException gone() {
        return new NvmeException(Kind.MISSING, name + ": is gone; it was unplugged or has lost its power");
    }

    private NvmeException unsupported(String why) {
        return new NvmeException(Kind.UNSUPPORTED, name + ": " + why + "; choose another drive");
    }
}

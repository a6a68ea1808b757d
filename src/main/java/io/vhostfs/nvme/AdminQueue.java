package io.vhostfs.nvme;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeException.Kind;

/**
 * The admin queue pair: one command at a time, which is waited for, besides the asynchronous event requests.
 *
 * <p>Invariant: at most {@link #MAX_EVENT_REQUESTS} + 1 commands are outstanding, fewer than entries. A completion of no
 * command of ours is an error of the controller. Under the controller's lock only.
 */
final class AdminQueue {
    static final int ENTRIES = 32;
    static final int MAX_EVENT_REQUESTS = 4;

    /** Event requests have identifiers from here on, the one command below. */
    private static final int FIRST_EVENT_CID = 0x100;

    private static final int COMMAND_CID_MASK = 0xff;
    private static final int DATA_BYTES = 4 * NVME_PAGE_BYTES;
    private static final int SHADOW_BYTES = 2 * NVME_PAGE_BYTES;

    private final String name;
    private final NvmeTransport transport;
    private final HugepageMemory memory;
    private final long sqAddress;
    private final long cqAddress;
    private final long commandAddress;
    private final long dataAddress;
    private final long iova;
    private int sqTail;
    private int cqHead;
    private int phase = 1;
    private int nextCid;
    private int doorbellStride;
    /** Bit i: the event request with identifier {@link #FIRST_EVENT_CID} + i is outstanding. */
    private int requestedEvents;

    private final int[] eventResults = new int[MAX_EVENT_REQUESTS];
    private int eventResultCount;
    private int status;
    private int result;

    AdminQueue(NvmeTransport transport) throws NvmeException {
        this.transport = transport;
        this.name = transport.name();
        memory = HugepageMemory.allocate(
                3L * NVME_PAGE_BYTES + DATA_BYTES + SHADOW_BYTES, transport.name() + " admin queue");
        sqAddress = memory.address();
        cqAddress = sqAddress + NVME_PAGE_BYTES;
        commandAddress = cqAddress + NVME_PAGE_BYTES;
        dataAddress = commandAddress + NVME_PAGE_BYTES;
        iova = transport.dma().translate(memory.address(), memory.lengthBytes());
        if (iova < 0) {
            memory.close();
            throw new NvmeException(
                    Kind.NOT_PERMITTED,
                    name + ": its admin queue cannot be mapped for DMA: "
                            + transport.dma().remedy());
        }
    }

    /** Empties the queues and tells the disabled controller where they are. */
    void reset(int newDoorbellStride) {
        doorbellStride = newDoorbellStride;
        sqTail = 0;
        cqHead = 0;
        phase = 1;
        requestedEvents = 0;
        eventResultCount = 0;
        Memory.zero(cqAddress, NVME_PAGE_BYTES);
        long registers = transport.registersAddress();
        Memory.putIntRelease(registers + NVME_REG_AQA, ENTRIES - 1 | (ENTRIES - 1) << 16);
        Memory.putLongRelease(registers + NVME_REG_ASQ, iova);
        Memory.putLongRelease(registers + NVME_REG_ACQ, iova + NVME_PAGE_BYTES);
    }

    /** Where the next command is to be written. */
    long command() {
        return commandAddress;
    }

    /** Four pages for a command's data. */
    long dataAddress() {
        return dataAddress;
    }

    long dataIova() {
        return iova + (dataAddress - sqAddress);
    }

    /** Two pages for shadow doorbells and event indices. */
    long shadowAddress() {
        return dataAddress + DATA_BYTES;
    }

    long shadowIova() {
        return dataIova() + DATA_BYTES;
    }

    /**
     * Sends the command and waits for its end.
     *
     * @return its status
     * @throws NvmeException when it does not end in time, or the controller breaks the rules
     */
    int execute(long timeoutNs) throws NvmeException {
        int cid = nextCid++ & COMMAND_CID_MASK;
        int opcode = Memory.getUnsignedByte(commandAddress);
        send(cid);
        long deadlineNs = transport.nowNs() + timeoutNs;
        while (!poll(cid)) {
            if (Memory.getInt(transport.registersAddress() + NVME_REG_CSTS) == NVME_GONE) {
                throw new NvmeException(Kind.MISSING, name + ": is gone; it was unplugged or has lost its power");
            }
            if (transport.nowNs() - deadlineNs > 0) {
                throw new NvmeException(
                        Kind.FAILED,
                        name + ": admin command 0x" + Integer.toHexString(opcode) + " does not end; remedy: reset the"
                                + " drive's power, or replace it");
            }
            transport.pause();
        }
        return status;
    }

    /** Double word 0 of the last command's completion. */
    int result() {
        return result;
    }

    /** Asks for one more asynchronous event. */
    void requestEvent() {
        int free = Integer.numberOfTrailingZeros(~requestedEvents);
        if (free < MAX_EVENT_REQUESTS) {
            requestedEvents |= 1 << free;
            Commands.start(commandAddress, NVME_ADMIN_ASYNC_EVENT, 0);
            send(FIRST_EVENT_CID + free);
        }
    }

    /** The next event, or 0 when there is none; its request is used up. */
    int takeEvent() throws NvmeException {
        poll(-1);
        return eventResultCount == 0 ? 0 : eventResults[--eventResultCount];
    }

    private void send(int cid) {
        Memory.putShort(commandAddress + NVME_SQE_CID, (short) cid);
        Memory.copy(commandAddress, sqAddress + (long) sqTail * NVME_SQE_BYTES, NVME_SQE_BYTES);
        sqTail = (sqTail + 1) % ENTRIES;
        Memory.putIntRelease(transport.registersAddress() + NVME_REG_DOORBELLS, sqTail);
    }

    private boolean poll(int wantedCid) throws NvmeException {
        boolean found = false;
        for (int i = 0; i < ENTRIES && !found; i++) {
            long cqe = cqAddress + (long) cqHead * NVME_CQE_BYTES;
            int dw3 = Memory.getIntAcquire(cqe + NVME_CQE_DW3);
            if ((dw3 >>> 16 & 1) != phase) {
                break;
            }
            found = take(cqe, dw3, wantedCid);
            cqHead = (cqHead + 1) % ENTRIES;
            if (cqHead == 0) {
                phase ^= 1;
            }
            Memory.putIntRelease(transport.registersAddress() + NVME_REG_DOORBELLS + doorbellStride, cqHead);
        }
        return found;
    }

    private boolean take(long cqe, int dw3, int wantedCid) throws NvmeException {
        int cid = dw3 & 0xffff;
        int entryResult = Memory.getInt(cqe + NVME_CQE_DW0);
        if (cid == wantedCid) {
            status = dw3 >>> 17;
            result = entryResult;
            return true;
        }
        int request = cid - FIRST_EVENT_CID;
        if (request < 0 || request >= MAX_EVENT_REQUESTS || (requestedEvents >>> request & 1) == 0) {
            throw new NvmeException(
                    Kind.FAILED,
                    name + ": completes admin command " + cid
                            + ", which was not sent; remedy: update the drive's firmware, or replace it");
        }
        // One that was refused (too many requests) stays marked, so that it is not asked again.
        if (dw3 >>> 17 == NvmeStatus.SUCCESS && eventResultCount < MAX_EVENT_REQUESTS) {
            eventResults[eventResultCount++] = entryResult;
            requestedEvents &= ~(1 << request);
        }
        return false;
    }

    void free() {
        memory.close();
    }
}

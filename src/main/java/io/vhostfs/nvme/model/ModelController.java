package io.vhostfs.nvme.model;

import static io.vhostfs.nvme.NvmeConstants.*;
import static io.vhostfs.os.LibcConstants.EFD_CLOEXEC;
import static io.vhostfs.os.LibcConstants.EFD_NONBLOCK;

import io.vhostfs.memory.DmaMapper;
import io.vhostfs.memory.DmaSpace;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeStatus;
import io.vhostfs.nvme.NvmeTransport;
import io.vhostfs.nvme.model.ModelConfig.ModelNamespace;
import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * An NVMe controller whose registers are plain memory: it looks at them when it is told to ({@link #step}).
 *
 * <p>Invariant: it reads and writes memory through its {@link ModelDma} only, so that a driver's mistake shows as a fault.
 * Obeying I/O commands allocates nothing. One thread, the driver's.
 */
public final class ModelController implements NvmeTransport {
    private static final int REGISTERS_BYTES = 1 << 16;
    private static final int MAX_QUEUES = 65;
    private static final int VERSION_1_4 = 0x10400;

    /** What pausing advances the clock by. */
    private static final long PAUSE_NS = 1_000_000;

    /** A queue pair as the controller sees it; 0 entries: there is none. */
    private static final class Queue {
        long sqIova;
        long cqIova;
        int sqEntries;
        int cqEntries;
        int sqHead;
        int cqTail;
        int phase;
        boolean hasSq;
        long sqBellBefore;
        int vector;
    }

    private static final int NO_VECTOR = -1;

    /** What is added to an eventfd. */
    private static final long ONE =
            Arena.global().allocateFrom(ValueLayout.JAVA_LONG, 1).address();

    private final int[] interruptFds = new int[MAX_QUEUES];
    private final ModelConfig config;
    private final ModelDma mapper;
    private final DmaSpace dma;
    private final HugepageMemory memory;
    private final long registers;
    private final long[] namespaceStarts;
    private final Queue[] queues = new Queue[MAX_QUEUES];
    private final List<Integer> eventRequests = new ArrayList<>();
    private final List<Long> held = new ArrayList<>();
    private ModelScript script = ModelScript.FAULTLESS;
    private Runnable onPause = () -> {};
    private boolean enabled;
    private boolean removed;
    private boolean removalRequested;
    private boolean neverReady;
    private boolean abortsWork = true;
    private boolean functionResets = true;
    private boolean busMaster;
    private boolean closed;
    private int cacheOn = 1;
    private long shadowIova;
    private long eventIndexIova;
    private long nowNs;
    private long flushes;
    private long fuaWrites;
    private long commands;
    private long doorbellsSeen;
    private boolean wasShutDown;

    public ModelController(ModelConfig config) {
        this.config = config;
        mapper = new ModelDma(config.iommu ? DmaMapper.ANY_LENGTH : HugepageMemory.HUGEPAGE_SIZE);
        dma = new DmaSpace("model", mapper);
        long bytes = REGISTERS_BYTES;
        namespaceStarts = new long[config.namespaces.size()];
        for (int i = 0; i < namespaceStarts.length; i++) {
            namespaceStarts[i] = bytes;
            ModelNamespace n = config.namespaces.get(i);
            bytes += n.blockBytes() * n.blocks();
        }
        memory = HugepageMemory.reserveForProcessor(bytes, "model of a drive");
        registers = memory.address();
        for (int i = 0; i < namespaceStarts.length; i++) {
            namespaceStarts[i] += memory.address();
        }
        for (int i = 0; i < MAX_QUEUES; i++) {
            queues[i] = new Queue();
            queues[i].vector = NO_VECTOR;
            interruptFds[i] = config.interrupts ? Libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
        }
        powerOn();
    }

    private void powerOn() {
        Memory.zero(registers, NVME_REG_DOORBELLS);
        long capabilities = config.maxQueueEntries - 1L
                | 1L << NVME_CAP_CQR_SHIFT
                | 2L << NVME_CAP_TO_SHIFT
                | (long) config.doorbellStrideShift << NVME_CAP_DSTRD_SHIFT
                | 1L << NVME_CAP_CSS_SHIFT
                | 4L << NVME_CAP_MPSMAX_SHIFT;
        Memory.putLong(registers + NVME_REG_CAP, capabilities);
        Memory.putInt(registers + NVME_REG_VS, VERSION_1_4);
        disable();
    }

    // ---- what tests make it do -----------------------------------------------------------------

    public void setScript(ModelScript newScript) {
        script = newScript;
    }

    /** What else runs while the driver waits for this controller. */
    public void setOnPause(Runnable action) {
        onPause = action;
    }

    /** Reports that it has failed, until it is reset. */
    public void setFatal() {
        Memory.putInt(registers + NVME_REG_CSTS, Memory.getInt(registers + NVME_REG_CSTS) | NVME_CSTS_CFS);
    }

    /** Never gets ready from the next enabling on. */
    public void setNeverReady(boolean never) {
        neverReady = never;
    }

    /** Whether its volatile write cache, if it has one, is switched on. */
    public void setCacheOn(boolean on) {
        cacheOn = on ? 1 : 0;
    }

    public void setAbortsWork(boolean work) {
        abortsWork = work;
    }

    public void setFunctionResets(boolean work) {
        functionResets = work;
    }

    /** Takes it off the bus: everything reads as ones, nothing happens any more. */
    public void remove() {
        removed = true;
        for (int i = 0; i < REGISTERS_BYTES; i += Long.BYTES) {
            Memory.putLong(registers + i, -1);
        }
    }

    public void requestRemoval() {
        removalRequested = true;
    }

    public void setCapabilities(long capabilities) {
        Memory.putLong(registers + NVME_REG_CAP, capabilities);
    }

    public void advance(long ns) {
        nowNs += ns;
    }

    /** Completes a request for events, if there is one. */
    public boolean raiseEvent(int type, int what, int log) {
        if (eventRequests.isEmpty()) {
            return false;
        }
        complete(0, eventRequests.removeFirst(), type | what << 8 | log << 16, 0, queues[0].sqHead, 0);
        return true;
    }

    /** Posts a completion of whatever content; {@code phaseError} 1 leaves the phase tag wrong. */
    public void postCompletion(int queueId, int cid, int status, int sqHead, int phaseError) {
        if (queues[queueId].cqEntries != 0) {
            complete(queueId, cid, 0, status, sqHead, phaseError);
        }
    }

    // ---- what tests look at ------------------------------------------------------------------------

    public ModelDma mapper() {
        return mapper;
    }

    public long flushes() {
        return flushes;
    }

    public long fuaWrites() {
        return fuaWrites;
    }

    public long commands() {
        return commands;
    }

    /** Doorbell registers that were found changed. */
    public long doorbellsSeen() {
        return doorbellsSeen;
    }

    public int heldCommands() {
        return held.size();
    }

    public boolean isBusMaster() {
        return busMaster;
    }

    public boolean wasShutDown() {
        return wasShutDown;
    }

    public boolean isClosed() {
        return closed;
    }

    /** Where a namespace's first block lies. */
    public long namespaceAddress(int nsid) {
        return namespaceStarts[nsid - 1];
    }

    // ---- the controller ------------------------------------------------------------------------------

    /** Obeys the registers; returns the commands that it has taken. */
    public int step() {
        if (removed || closed) {
            return 0;
        }
        int configuration = Memory.getInt(registers + NVME_REG_CC);
        boolean wanted = (configuration & NVME_CC_EN) != 0;
        if (wanted != enabled) {
            if (wanted) {
                enable();
            } else {
                disable();
            }
        }
        int status = Memory.getInt(registers + NVME_REG_CSTS);
        if ((configuration & NVME_CC_SHN_MASK) != 0 && (status & NVME_CSTS_SHST_MASK) == 0) {
            wasShutDown = true;
            Memory.putInt(registers + NVME_REG_CSTS, status | NVME_CSTS_SHST_COMPLETE);
        }
        int done = 0;
        if ((status & NVME_CSTS_RDY) != 0 && (status & NVME_CSTS_CFS) == 0 && busMaster) {
            for (int id = 0; id <= config.queuePairs; id++) {
                done += serve(id, queues[id]);
            }
        }
        return done;
    }

    private void enable() {
        enabled = true;
        if (neverReady) {
            return;
        }
        Queue admin = queues[0];
        int attributes = Memory.getInt(registers + NVME_REG_AQA);
        admin.sqIova = Memory.getLong(registers + NVME_REG_ASQ);
        admin.cqIova = Memory.getLong(registers + NVME_REG_ACQ);
        startSq(admin, (attributes & 0xfff) + 1);
        startCq(admin, (attributes >>> 16 & 0xfff) + 1);
        Memory.putInt(registers + NVME_REG_CSTS, NVME_CSTS_RDY);
    }

    private void disable() {
        enabled = false;
        for (Queue queue : queues) {
            queue.sqEntries = 0;
            queue.cqEntries = 0;
            queue.hasSq = false;
        }
        eventRequests.clear();
        held.clear();
        shadowIova = 0;
        Memory.zero(registers + NVME_REG_DOORBELLS, REGISTERS_BYTES - NVME_REG_DOORBELLS);
        Memory.putInt(registers + NVME_REG_CSTS, 0);
    }

    private static void startSq(Queue queue, int entries) {
        queue.sqEntries = entries;
        queue.sqHead = 0;
        queue.hasSq = true;
        queue.sqBellBefore = 0;
    }

    private static void startCq(Queue queue, int entries) {
        queue.cqEntries = entries;
        queue.cqTail = 0;
        queue.phase = 1;
    }

    private int serve(int id, Queue queue) {
        if (!queue.hasSq) {
            return 0;
        }
        int done = 0;
        int tail = bell(id, 0);
        while (queue.hasSq && queue.sqHead != tail && tail < queue.sqEntries && hasRoom(id, queue)) {
            long command = mapper.translate(queue.sqIova + (long) queue.sqHead * NVME_SQE_BYTES, NVME_SQE_BYTES);
            queue.sqHead = (queue.sqHead + 1) % queue.sqEntries;
            if (command == 0) {
                setFatal();
                return done;
            }
            execute(id, command);
            done++;
        }
        return done;
    }

    private boolean hasRoom(int id, Queue queue) {
        return (queue.cqTail + 1) % queue.cqEntries != bell(id, 1);
    }

    /** A doorbell's value: out of the shadow where there is one, whose event index then follows. */
    private int bell(int id, int completion) {
        long offset = (2L * id + completion) * (Integer.BYTES << config.doorbellStrideShift);
        int value = Memory.getIntAcquire(registers + NVME_REG_DOORBELLS + offset);
        if (completion == 0 && value != queues[id].sqBellBefore) {
            queues[id].sqBellBefore = value;
            doorbellsSeen++;
        }
        if (shadowIova == 0 || id == 0) {
            return value;
        }
        long shadow = mapper.translate(shadowIova + offset, Integer.BYTES);
        long event = mapper.translate(eventIndexIova + offset, Integer.BYTES);
        value = Memory.getIntAcquire(shadow);
        Memory.putIntRelease(event, value);
        return value;
    }

    private void execute(int id, long command) {
        commands++;
        int cid = Memory.getUnsignedShort(command + NVME_SQE_CID);
        int verdict = script.onCommand(id, command);
        if (verdict == ModelScript.HOLD) {
            held.add((long) id << 16 | cid);
            return;
        }
        if (verdict != ModelScript.CARRY_OUT) {
            complete(id, cid, 0, verdict, queues[id].sqHead, 0);
            return;
        }
        if (id == 0) {
            executeAdmin(command, cid);
        } else {
            complete(id, cid, 0, executeIo(command), queues[id].sqHead, 0);
        }
    }

    private void complete(int id, int cid, int result, int status, int sqHead, int phaseError) {
        Queue queue = queues[id];
        long cqe = mapper.translate(queue.cqIova + (long) queue.cqTail * NVME_CQE_BYTES, NVME_CQE_BYTES);
        if (cqe == 0) {
            setFatal();
            return;
        }
        Memory.putInt(cqe + NVME_CQE_DW0, result);
        Memory.putShort(cqe + NVME_CQE_SQHD, (short) sqHead);
        Memory.putShort(cqe + NVME_CQE_SQID, (short) id);
        Memory.putIntRelease(
                cqe + NVME_CQE_DW3, (cid & 0xffff) | (queue.phase ^ phaseError) << 16 | (status & 0x7fff) << 17);
        queue.cqTail++;
        if (queue.cqTail == queue.cqEntries) {
            queue.cqTail = 0;
            queue.phase ^= 1;
        }
        if (queue.vector != NO_VECTOR) {
            Libc.write(interruptFds[queue.vector], ONE, Long.BYTES);
        }
    }

    // ---- I/O ---------------------------------------------------------------------------------------------

    private int executeIo(long command) {
        int nsid = Memory.getInt(command + NVME_SQE_NSID);
        if (nsid < 1 || nsid > config.namespaces.size()) {
            return NvmeStatus.INVALID_NAMESPACE;
        }
        int opcode = Memory.getUnsignedByte(command + NVME_SQE_OPCODE);
        if (opcode == NVME_CMD_FLUSH) {
            flushes++;
            return 0;
        }
        ModelNamespace namespace = config.namespaces.get(nsid - 1);
        if (opcode == NVME_CMD_DATASET_MANAGEMENT) {
            return config.deallocate ? deallocate(command, nsid, namespace) : NvmeStatus.INVALID_OPCODE;
        }
        long lba = Memory.getLong(command + NVME_SQE_CDW10);
        int cdw12 = Memory.getInt(command + NVME_SQE_CDW12);
        long blocks = (cdw12 & 0xffff) + 1L;
        if (lba < 0 || lba > namespace.blocks() - blocks) {
            return NvmeStatus.LBA_OUT_OF_RANGE;
        }
        long at = namespaceStarts[nsid - 1] + lba * namespace.blockBytes();
        long length = blocks * namespace.blockBytes();
        return switch (opcode) {
            case NVME_CMD_READ -> transfer(command, at, length, true);
            case NVME_CMD_WRITE -> {
                fuaWrites += cdw12 >>> 30 & 1;
                yield transfer(command, at, length, false);
            }
            case NVME_CMD_WRITE_ZEROES -> {
                if (!config.writeZeroes) {
                    yield NvmeStatus.INVALID_OPCODE;
                }
                Memory.zero(at, length);
                yield 0;
            }
            default -> NvmeStatus.INVALID_OPCODE | NvmeStatus.DO_NOT_RETRY;
        };
    }

    private int deallocate(long command, int nsid, ModelNamespace namespace) {
        int ranges = (Memory.getInt(command + NVME_SQE_CDW10) & 0xff) + 1;
        for (int i = 0; i < ranges; i++) {
            long range = mapper.translate(
                    Memory.getLong(command + NVME_SQE_PRP1) + (long) i * NVME_DSM_RANGE_BYTES, NVME_DSM_RANGE_BYTES);
            if (range == 0) {
                return NvmeStatus.DATA_TRANSFER_ERROR | NvmeStatus.DO_NOT_RETRY;
            }
            long blocks = Memory.getUnsignedInt(range + 4);
            long lba = Memory.getLong(range + 8);
            if (lba < 0 || lba > namespace.blocks() - blocks) {
                return NvmeStatus.LBA_OUT_OF_RANGE;
            }
            Memory.zero(namespaceStarts[nsid - 1] + lba * namespace.blockBytes(), blocks * namespace.blockBytes());
        }
        return 0;
    }

    private int transfer(long command, long at, long length, boolean toHost) {
        if (config.mdts != 0 && length > (long) NVME_PAGE_BYTES << config.mdts) {
            return NvmeStatus.INVALID_FIELD | NvmeStatus.DO_NOT_RETRY;
        }
        if (!config.movesData) {
            return 0;
        }
        boolean ok = (Memory.getByte(command + NVME_SQE_FLAGS) & NVME_SQE_FLAGS_SGL) != 0
                ? config.sgls != 0 && bySgl(command, at, length, toHost)
                : byPrp(command, at, length, toHost);
        return ok ? 0 : NvmeStatus.DATA_TRANSFER_ERROR | NvmeStatus.DO_NOT_RETRY;
    }

    private boolean byPrp(long command, long at, long length, boolean toHost) {
        long first = Memory.getLong(command + NVME_SQE_PRP1);
        long second = Memory.getLong(command + NVME_SQE_PRP2);
        long done = Math.min(length, NVME_PAGE_BYTES - (first & NVME_PAGE_BYTES - 1));
        if ((first & 3) != 0 || !move(first, at, done, toHost)) {
            return false;
        }
        boolean isList = length - done > NVME_PAGE_BYTES;
        for (int i = 0; done < length; i++) {
            long page = second;
            if (isList) {
                long entry = mapper.translate(second + (long) i * Long.BYTES, Long.BYTES);
                page = entry == 0 ? 1 : Memory.getLong(entry);
            }
            long piece = Math.min(NVME_PAGE_BYTES, length - done);
            if ((page & NVME_PAGE_BYTES - 1) != 0 || !move(page, at + done, piece, toHost)) {
                return false;
            }
            done += piece;
        }
        return true;
    }

    private boolean bySgl(long command, long at, long length, boolean toHost) {
        long descriptor = command + NVME_SQE_PRP1;
        long count = 1;
        if (Memory.getUnsignedByte(descriptor + 15) == NVME_SGL_LAST_SEGMENT) {
            count = Memory.getUnsignedInt(descriptor + 8) / NVME_SGL_DESCRIPTOR_BYTES;
            descriptor = mapper.translate(Memory.getLong(descriptor), count * NVME_SGL_DESCRIPTOR_BYTES);
        }
        long done = 0;
        for (int i = 0; descriptor != 0 && i < count; i++) {
            long each = descriptor + (long) i * NVME_SGL_DESCRIPTOR_BYTES;
            long piece = Memory.getUnsignedInt(each + 8);
            if (piece > length - done || !move(Memory.getLong(each), at + done, piece, toHost)) {
                return false;
            }
            done += piece;
        }
        return done == length;
    }

    private boolean move(long iova, long at, long length, boolean toHost) {
        long address = mapper.translate(iova, length);
        if (address == 0) {
            return false;
        }
        Memory.copy(toHost ? at : address, toHost ? address : at, length);
        return true;
    }

    // ---- admin ---------------------------------------------------------------------------------------------

    private void executeAdmin(long command, int cid) {
        int opcode = Memory.getUnsignedByte(command + NVME_SQE_OPCODE);
        int cdw10 = Memory.getInt(command + NVME_SQE_CDW10);
        int cdw11 = Memory.getInt(command + NVME_SQE_CDW11);
        long prp1 = Memory.getLong(command + NVME_SQE_PRP1);
        int result = 0;
        int status = 0;
        switch (opcode) {
            case NVME_ADMIN_IDENTIFY -> status = identify(command, cdw10 & 0xff, prp1);
            case NVME_ADMIN_CREATE_CQ -> status = createCq(cdw10, cdw11, prp1);
            case NVME_ADMIN_CREATE_SQ -> status = createSq(cdw10, prp1);
            case NVME_ADMIN_SET_FEATURES -> result = setFeature(cdw10 & 0xff, cdw11);
            case NVME_ADMIN_GET_FEATURES -> result = cacheOn;
            case NVME_ADMIN_GET_LOG_PAGE -> status = log(cdw10, prp1);
            case NVME_ADMIN_ABORT -> result = abort(cdw10 & 0xffff, cdw10 >>> 16);
            case NVME_ADMIN_DBBUF_CONFIG -> {
                shadowIova = prp1;
                eventIndexIova = Memory.getLong(command + NVME_SQE_PRP2);
            }
            case NVME_ADMIN_ASYNC_EVENT -> {
                eventRequests.add(cid);
                return;
            }
            default -> status = NvmeStatus.INVALID_OPCODE | NvmeStatus.DO_NOT_RETRY;
        }
        complete(0, cid, result, status, queues[0].sqHead, 0);
    }

    private int createCq(int cdw10, int cdw11, long iova) {
        int id = cdw10 & 0xffff;
        if (id == 0 || id > config.queuePairs) {
            return NvmeStatus.INVALID_QUEUE_ID;
        }
        queues[id].cqIova = iova;
        queues[id].vector = (cdw11 & NVME_CQ_INTERRUPTS) != 0 ? cdw11 >>> 16 : NO_VECTOR;
        startCq(queues[id], (cdw10 >>> 16) + 1);
        return 0;
    }

    private int createSq(int cdw10, long iova) {
        int id = cdw10 & 0xffff;
        if (id == 0 || id > config.queuePairs || queues[id].cqEntries == 0) {
            return NvmeStatus.INVALID_QUEUE_ID;
        }
        queues[id].sqIova = iova;
        startSq(queues[id], (cdw10 >>> 16) + 1);
        return 0;
    }

    private int setFeature(int feature, int value) {
        if (feature == NVME_FEATURE_VOLATILE_WRITE_CACHE) {
            cacheOn = value & 1;
        }
        return feature == NVME_FEATURE_NUMBER_OF_QUEUES ? config.queuePairs - 1 | (config.queuePairs - 1) << 16 : 0;
    }

    private int abort(int queueId, int cid) {
        boolean found = abortsWork && held.remove((Long) ((long) queueId << 16 | cid));
        if (found) {
            complete(queueId, cid, 0, NvmeStatus.ABORT_REQUESTED, queues[queueId].sqHead, 0);
        }
        return found ? 0 : 1;
    }

    private int log(int cdw10, long iova) {
        int length = ((cdw10 >>> 16 & 0xfff) + 1) * 4;
        long data = mapper.translate(iova, length);
        if (data == 0) {
            return NvmeStatus.DATA_TRANSFER_ERROR;
        }
        Memory.zero(data, length);
        if ((cdw10 & 0xff) == NVME_LOG_SMART) {
            Memory.putShort(data + 1, (short) 300);
            Memory.putByte(data + 3, (byte) 100);
            Memory.putLong(data + 64, commands);
        } else if ((cdw10 & 0xff) == NVME_LOG_ERRORS) {
            Memory.putLong(data, 7);
            Memory.putShort(data + 12, (short) (NvmeStatus.UNRECOVERED_READ << 1));
            Memory.putLong(data + 16, 42);
        }
        return 0;
    }

    private int identify(long command, int cns, long iova) {
        long data = mapper.translate(iova, NVME_IDENTIFY_BYTES);
        if (data == 0) {
            return NvmeStatus.DATA_TRANSFER_ERROR;
        }
        Memory.zero(data, NVME_IDENTIFY_BYTES);
        int nsid = Memory.getInt(command + NVME_SQE_NSID);
        switch (cns) {
            case NVME_CNS_CONTROLLER -> identifyController(data);
            case NVME_CNS_ACTIVE_NAMESPACES -> {
                for (int i = 0; i < config.namespaces.size(); i++) {
                    Memory.putInt(data + 4L * i, i + 1);
                }
            }
            default -> {
                if (nsid < 1 || nsid > config.namespaces.size()) {
                    return NvmeStatus.INVALID_NAMESPACE;
                }
                identifyNamespace(data, nsid);
            }
        }
        script.onIdentify(cns, data);
        return 0;
    }

    private void identifyController(long data) {
        text(data + 4, "MODEL-0001", 20);
        text(data + 24, "vhostfs model drive", 40);
        text(data + 64, "1.0", 8);
        Memory.putByte(data + 77, (byte) config.mdts);
        Memory.putShort(data + 256, (short) (config.shadowDoorbells ? NVME_OACS_DBBUF : 0));
        Memory.putByte(data + 258, (byte) 3);
        Memory.putInt(data + 516, config.namespaces.size());
        int optional = (config.deallocate ? NVME_ONCS_DATASET_MANAGEMENT : 0)
                | (config.writeZeroes ? NVME_ONCS_WRITE_ZEROES : 0);
        Memory.putShort(data + 520, (short) optional);
        Memory.putByte(data + 525, (byte) (config.volatileCache ? 1 : 0));
        Memory.putShort(data + 528, (short) (config.atomicBlocks - 1));
        Memory.putInt(data + 536, config.sgls);
    }

    private void identifyNamespace(long data, int nsid) {
        ModelNamespace namespace = config.namespaces.get(nsid - 1);
        Memory.putLong(data, namespace.blocks());
        Memory.putLong(data + 8, namespace.blocks());
        Memory.putByte(data + 130, (byte) Integer.numberOfTrailingZeros(namespace.blockBytes()));
        Memory.putByte(data + 127, (byte) nsid);
    }

    private static void text(long at, String text, int length) {
        byte[] bytes = (text + " ".repeat(length)).getBytes(StandardCharsets.ISO_8859_1);
        Memory.copyFromArray(bytes, 0, at, length);
    }

    // ---- transport --------------------------------------------------------------------------------------------

    @Override
    public String name() {
        return "model";
    }

    @Override
    public long registersAddress() {
        return registers;
    }

    @Override
    public long registersBytes() {
        return REGISTERS_BYTES;
    }

    @Override
    public DmaSpace dma() {
        return dma;
    }

    @Override
    public void setBusMaster(boolean allowed) {
        busMaster = allowed;
    }

    @Override
    public boolean resetFunction() {
        if (!functionResets || removed) {
            return false;
        }
        powerOn();
        busMaster = false;
        return true;
    }

    @Override
    public boolean isRemovalRequested() {
        return removalRequested;
    }

    @Override
    public int interruptFd(int vector) {
        return interruptFds[vector];
    }

    @Override
    public long nowNs() {
        return nowNs;
    }

    /** Time passes, the controller works, and so does whoever a test wants to. */
    @Override
    public void pause() {
        nowNs += PAUSE_NS;
        step();
        onPause.run();
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            for (int fd : interruptFds) {
                if (fd >= 0) {
                    Libc.close(fd);
                }
            }
            dma.close();
            memory.close();
        }
    }
}

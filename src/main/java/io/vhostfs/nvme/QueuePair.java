package io.vhostfs.nvme;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.DmaSpace;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.MemoryPool;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.ReactorTimer;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * One I/O submission queue with its completion queue, and the slots of the commands in them.
 *
 * <p>Invariants: a slot is free, taken, or active; there are fewer slots than queue entries, so neither queue overflows. An
 * active slot ends exactly once, with a completion that names it, or with the controller's death; a completion that names
 * none stops the queue and has the controller reset, after which every active command is sent again from its copy. What the
 * controller writes is read once and checked.
 *
 * <p>Commands are handed over, and completions acknowledged, with one doorbell write each per {@link #poll}; no system call
 * is made and nothing is allocated. The attached reactor's thread only, except where it says otherwise.
 */
public final class QueuePair {
    /** Told of commands that have ended, on the reactor, never from within {@link #submit}. */
    public interface Owner {
        /**
         * The slot is free again.
         *
         * @param status 0 or a negative errno
         */
        void onCommandDone(int slot, int status);
    }

    /** Data that cannot go straight to its place goes through buffers of this size. */
    public static final int BOUNCE_BYTES = 1 << 16;

    /** So many commands can be under way with copied data; more of them wait. */
    public static final int BOUNCE_BUFFERS = 32;

    /** How often a command is sent again, whatever for, before it has failed. */
    static final int MAX_RETRIES = 3;

    /** A command's time is counted in this many ticks. */
    private static final int TICKS_PER_TIMEOUT = 4;

    private static final int STOP = 1;
    private static final int RESUME = 2;
    private static final int DIE = 3;
    private static final int COUNT = 4;
    private static final int ORDER_STEP = 8;

    private static final byte FREE = 0;
    private static final byte TAKEN = 1;
    private static final byte ACTIVE = 2;

    // Hot.
    private final long sqAddress;
    private final long cqAddress;
    private final long commandsAddress;
    private final int entries;
    private final int slots;
    private final byte[] states;
    private final int[] freeSlots;
    private int freeCount;
    private int sqTail;
    private int sqTailTold;
    private int cqHead;
    private int cqHeadTold;
    private int phase;
    private boolean running;
    private boolean dead;
    /** The last order that was obeyed. */
    private volatile int obeyed;

    /** Commands submitted so far, and at each slot how many there were before its own. */
    private long submitted;

    private final long[] submittedBefore;

    private int tick;
    private final int[] startedTick;
    private final byte[] retries;
    private final boolean[] abortAsked;
    private long sqDoorbell;
    private long cqDoorbell;
    /** Shadow doorbells and what the controller says about them; 0: it has none. */
    private long sqShadow;

    private long cqShadow;
    private long sqEventIndex;
    private long cqEventIndex;
    private final ReactorTimer timer = new ReactorTimer(this::onTick);
    private long tickNs;
    private @Nullable Reactor reactor;
    private @Nullable Owner owner;

    // Cold.
    private final NvmeController controller;
    private final int id;
    private final HugepageMemory memory;
    private final long sqIova;
    private final long cqIova;
    private final long listsAddress;
    private final long listsIova;
    private final long zeroesAddress;
    private final long zeroesIova;
    private final HugepageMemory bounceMemory;
    private final long bounceIova;
    private final MemoryPool bounce;
    private final DataPointer dataPointer;

    /**
     * What the controller wants: one of the constants, plus {@link #ORDER_STEP} for each order before. Polled, so that an order
     * cannot be lost; an order that was not obeyed yet is replaced by the next.
     */
    private volatile int order;

    /** What {@link #hasEndedAllSince} was asked about, the answer when that is yes, and the commands submitted when it was asked. */
    private volatile int askedEvent;

    private volatile int endedEvent;
    private int markedEvent;
    private long submittedAtMark;

    private long zeroCopyBytes;
    private long bouncedBytes;
    private volatile boolean stopped = true;
    private volatile boolean succeededSinceReset;

    QueuePair(NvmeController controller, int id, int entries, DataPointer dataPointer, DmaSpace dma)
            throws NvmeException {
        this.controller = controller;
        this.id = id;
        this.entries = entries;
        this.slots = entries - 1;
        this.dataPointer = dataPointer;
        states = new byte[slots];
        freeSlots = new int[slots];
        startedTick = new int[slots];
        submittedBefore = new long[slots];
        retries = new byte[slots];
        abortAsked = new boolean[slots];
        for (int i = 0; i < slots; i++) {
            freeSlots[i] = slots - 1 - i;
        }
        freeCount = slots;
        long sqBytes = pages((long) entries * NVME_SQE_BYTES);
        long cqBytes = pages((long) entries * NVME_CQE_BYTES);
        long listBytes = (long) slots * NVME_PAGE_BYTES;
        String purpose = controller.name() + " queue pair " + id;
        // Two pieces, so that each of the usual size lies in one hugepage: without an IOMMU no more is in one piece for
        // a drive.
        memory = HugepageMemory.allocate(2 * sqBytes + cqBytes + listBytes + BOUNCE_BYTES, purpose);
        bounceMemory = HugepageMemory.allocate(MemoryPool.regionBytesFor(BOUNCE_BYTES, BOUNCE_BUFFERS), purpose);
        sqAddress = memory.address();
        cqAddress = sqAddress + sqBytes;
        commandsAddress = cqAddress + cqBytes;
        listsAddress = commandsAddress + sqBytes;
        zeroesAddress = listsAddress + listBytes;
        bounce = MemoryPool.of(
                "bounce", bounceMemory.address(), bounceMemory.lengthBytes(), BOUNCE_BYTES, BOUNCE_BUFFERS);
        sqIova = dma.translate(memory.address(), memory.lengthBytes());
        bounceIova = dma.translate(bounceMemory.address(), bounceMemory.lengthBytes());
        if (sqIova == DmaSpace.NOT_MAPPED || bounceIova == DmaSpace.NOT_MAPPED) {
            free();
            throw new NvmeException(
                    NvmeException.Kind.NOT_PERMITTED,
                    controller.name() + ": its queues cannot be mapped for DMA: " + dma.remedy());
        }
        cqIova = sqIova + sqBytes;
        listsIova = sqIova + (listsAddress - sqAddress);
        zeroesIova = sqIova + (zeroesAddress - sqAddress);
    }

    private static long pages(long bytes) {
        return (bytes + NVME_PAGE_BYTES - 1) & -NVME_PAGE_BYTES;
    }

    public int id() {
        return id;
    }

    public int slots() {
        return slots;
    }

    /** Whether commands are to be refused: the controller is gone. */
    public boolean isDead() {
        return dead;
    }

    public int inFlight() {
        return slots - freeCount;
    }

    /** A slot for {@link #submit}, or -1 when all are in use. */
    public int takeSlot() {
        if (freeCount == 0) {
            return -1;
        }
        int slot = freeSlots[--freeCount];
        states[slot] = TAKEN;
        return slot;
    }

    /** Gives a slot back that was not submitted. */
    public void returnSlot(int slot) {
        states[slot] = FREE;
        freeSlots[freeCount++] = slot;
    }

    /** Where the command of a taken slot is to be written. */
    public long command(int slot) {
        return commandsAddress + (long) slot * NVME_SQE_BYTES;
    }

    /** Buffers of {@link #BOUNCE_BYTES} that the controller reaches. */
    public MemoryPool bounce() {
        return bounce;
    }

    /** {@link #BOUNCE_BYTES} zeros that the controller reaches. */
    public long zeroesAddress() {
        return zeroesAddress;
    }

    /**
     * Points a taken slot's command to memory: as much of the iovecs as one command can take without a copy.
     *
     * @return bytes described, a multiple of {@code blockBytes}; 0 when the first block has to be copied
     */
    public long pointTo(
            int slot, long iovecsAddress, int iovecCount, long skipBytes, long lengthBytes, int blockBytes) {
        long list = (long) slot * NVME_PAGE_BYTES;
        return dataPointer.describe(
                command(slot),
                listsAddress + list,
                listsIova + list,
                iovecsAddress,
                iovecCount,
                skipBytes,
                lengthBytes,
                blockBytes);
    }

    /** Points a taken slot's command to a buffer of {@link #bounce}, or to {@link #zeroesAddress}. */
    public void pointToOwn(int slot, long address, int lengthBytes) {
        long list = (long) slot * NVME_PAGE_BYTES;
        long iova = address == zeroesAddress ? zeroesIova : bounceIova + (address - bounceMemory.address());
        dataPointer.describePages(command(slot), listsAddress + list, listsIova + list, iova, lengthBytes);
    }

    /** Makes a taken slot's command a deallocation of {@code blocks} blocks. */
    public void pointToRange(int slot, long lba, int blocks) {
        long list = (long) slot * NVME_PAGE_BYTES;
        Commands.range(listsAddress + list, lba, blocks);
        Memory.putLong(command(slot) + NVME_SQE_PRP1, listsIova + list);
    }

    /** Puts a taken slot's command on the queue; {@link #poll} hands it over. */
    public void submit(int slot) {
        assert states[slot] == TAKEN;
        states[slot] = ACTIVE;
        startedTick[slot] = tick;
        submittedBefore[slot] = submitted++;
        retries[slot] = 0;
        abortAsked[slot] = false;
        Memory.putShort(command(slot) + NVME_SQE_CID, (short) slot);
        if (running) {
            enqueue(slot);
        }
        if (!timer.isScheduled() && reactor != null) {
            reactor.schedule(timer, tickNs);
        }
    }

    private void enqueue(int slot) {
        long from = commandsAddress + (long) slot * NVME_SQE_BYTES;
        long to = sqAddress + (long) sqTail * NVME_SQE_BYTES;
        for (int i = 0; i < NVME_SQE_BYTES; i += Long.BYTES) {
            Memory.putLong(to + i, Memory.getLong(from + i));
        }
        sqTail = (sqTail + 1) & (entries - 1);
    }

    /** Takes completions, then hands over what was submitted; returns the completions. */
    public int poll() {
        if (order != obeyed) {
            obey();
        }
        if (!running) {
            return 0;
        }
        int done = 0;
        // No more than the queue holds: a controller that never stops must not starve the other pollers.
        while (done < entries) {
            long cqe = cqAddress + (long) cqHead * NVME_CQE_BYTES;
            int dw3 = Memory.getIntAcquire(cqe + NVME_CQE_DW3);
            if ((dw3 >>> 16 & 1) != phase) {
                break;
            }
            int sqHead = Memory.getUnsignedShort(cqe + NVME_CQE_SQHD);
            if (!advance(dw3 & 0xffff, sqHead)) {
                break;
            }
            done++;
            onCompletion(dw3 & 0xffff, dw3 >>> 17);
        }
        if (running) {
            ringDoorbells();
        }
        return done;
    }

    /** Checks a completion and moves past it. */
    private boolean advance(int slot, int sqHead) {
        if (slot >= slots || states[slot] != ACTIVE || sqHead >= entries) {
            running = false;
            controller.requestReset("queue " + id + ": completion of command " + slot + " with submission queue head "
                    + sqHead + ", which there is not");
            return false;
        }
        cqHead++;
        if (cqHead == entries) {
            cqHead = 0;
            phase ^= 1;
        }
        return true;
    }

    private void onCompletion(int slot, int status) {
        if (status == NvmeStatus.SUCCESS) {
            if (!succeededSinceReset) {
                succeededSinceReset = true;
            }
            finish(slot, 0);
        } else {
            onFailure(slot, status);
        }
    }

    private void onFailure(int slot, int status) {
        if (NvmeStatus.isTransient(status) && retries[slot] < MAX_RETRIES) {
            retries[slot]++;
            startedTick[slot] = tick;
            abortAsked[slot] = false;
            controller.counters().retries.increment();
            enqueue(slot);
            return;
        }
        controller.onCommandFailed(id, command(slot), status);
        finish(slot, NvmeStatus.toErrno(status));
    }

    private void finish(int slot, int status) {
        states[slot] = FREE;
        freeSlots[freeCount++] = slot;
        if (owner != null) {
            owner.onCommandDone(slot, status);
        }
    }

    private void ringDoorbells() {
        if (cqHead != cqHeadTold) {
            ring(cqDoorbell, cqShadow, cqEventIndex, cqHead, cqHeadTold);
            cqHeadTold = cqHead;
        }
        if (sqTail != sqTailTold) {
            ring(sqDoorbell, sqShadow, sqEventIndex, sqTail, sqTailTold);
            sqTailTold = sqTail;
        }
    }

    private static void ring(long doorbell, long shadow, long eventIndex, int value, int before) {
        if (shadow != 0) {
            Memory.putIntRelease(shadow, value);
            // The controller writes its index, then looks at the shadow; here it is the other way round.
            VarHandle.fullFence();
            int event = Memory.getInt(eventIndex);
            if ((value - event - 1 & 0xffff) >= (value - before & 0xffff)) {
                return;
            }
        }
        Memory.putIntRelease(doorbell, value);
    }

    /** Whether a completion waits. */
    public boolean hasCompletions() {
        int dw3 = Memory.getIntAcquire(cqAddress + (long) cqHead * NVME_CQE_BYTES + NVME_CQE_DW3);
        return running && (dw3 >>> 16 & 1) == phase;
    }

    /** Whether {@link #poll} would hand something over, or obey the controller. */
    public boolean hasUntold() {
        return order != obeyed || (running && sqTail != sqTailTold);
    }

    private void onTick() {
        tick++;
        for (int slot = 0; slot < slots; slot++) {
            if (states[slot] == ACTIVE && running && tick - startedTick[slot] > TICKS_PER_TIMEOUT) {
                onTimeout(slot);
            }
        }
        if (freeCount != slots && reactor != null) {
            reactor.schedule(timer, tickNs);
        }
    }

    private void onTimeout(int slot) {
        startedTick[slot] = tick;
        controller.counters().timeouts.increment();
        if (abortAsked[slot]) {
            controller.requestReset("queue " + id + ": command " + slot + " did not end, nor did it when aborted");
        } else {
            abortAsked[slot] = true;
            controller.requestAbort(id, slot);
        }
    }

    /** Makes the pair a reactor's; it runs unless the controller is being reset. */
    void attach(Reactor newReactor, Owner newOwner, long timeoutNs, boolean live) {
        obeyed = order;
        reactor = newReactor;
        owner = newOwner;
        tickNs = Math.max(1, timeoutNs / TICKS_PER_TIMEOUT);
        running = live;
        stopped = !live;
    }

    /** Takes it from its reactor again; nothing is in flight. */
    void detach() {
        if (inFlight() != 0) {
            throw new IllegalStateException(controller.name() + ": " + inFlight() + " commands are in flight");
        }
        if (reactor != null) {
            reactor.cancel(timer);
        }
        obey();
        owner = null;
        reactor = null;
        running = false;
        stopped = true;
    }

    /**
     * Asks the attached reactor to keep away from the queues; {@link #isStopped} tells when it does. Under the controller's
     * lock on who is attached, as the other requests.
     */
    void askToStop() {
        if (reactor != null) {
            give(STOP);
        }
    }

    private void give(int newOrder) {
        order = (order & -ORDER_STEP) + ORDER_STEP + newOrder;
        if (reactor != null) {
            reactor.wake();
        }
    }

    /** Obeys what is still to be obeyed; again from the start when an owner threw. */
    private void obey() {
        int wanted = order;
        if (wanted != obeyed) {
            switch (wanted & ORDER_STEP - 1) {
                case STOP -> {
                    running = false;
                    stopped = true;
                }
                case RESUME -> resume();
                case DIE -> die();
                case COUNT -> lookForOldCommands();
                default -> throw new IllegalStateException("order " + wanted);
            }
            obeyed = wanted;
        }
    }

    /**
     * Whether all commands have ended that were submitted before an event, numbered from 1; asked again and again until it is so.
     * Under the controller's lock on who is attached.
     */
    boolean hasEndedAllSince(int event) {
        if (reactor == null || endedEvent == event) {
            return true;
        }
        if (order == obeyed) {
            askedEvent = event;
            give(COUNT);
        }
        return false;
    }

    private void lookForOldCommands() {
        int event = askedEvent;
        if (markedEvent != event) {
            markedEvent = event;
            submittedAtMark = submitted;
        }
        for (int slot = 0; slot < slots; slot++) {
            if (states[slot] == ACTIVE && submittedBefore[slot] < submittedAtMark) {
                return;
            }
        }
        endedEvent = event;
    }

    boolean isAttached() {
        return reactor != null;
    }

    boolean isStopped() {
        return stopped;
    }

    /** Counts data that went straight between the drive and its place. */
    public void countZeroCopy(long bytes) {
        zeroCopyBytes += bytes;
    }

    /** Counts data that went through a bounce buffer. */
    public void countBounced(long bytes) {
        bouncedBytes += bytes;
    }

    /** So far, roughly when asked on another thread. */
    public long zeroCopyBytes() {
        return zeroCopyBytes;
    }

    /** So far, roughly when asked on another thread. */
    public long bouncedBytes() {
        return bouncedBytes;
    }

    boolean takeSucceededSinceReset() {
        boolean result = succeededSinceReset;
        succeededSinceReset = false;
        return result;
    }

    /** Lets the attached reactor go on: all that was in flight is sent again. */
    void askToResume() {
        if (reactor != null) {
            // From here on it may touch the queues at any moment.
            stopped = false;
            give(RESUME);
        }
    }

    private void resume() {
        if (dead) {
            return;
        }
        // First what is not sent again: owners may then submit more, which goes the way of all that is active.
        for (int slot = 0; slot < slots; slot++) {
            if (states[slot] == ACTIVE && retries[slot] >= MAX_RETRIES) {
                finish(slot, -Errno.EIO);
            }
        }
        running = true;
        for (int slot = 0; slot < slots; slot++) {
            if (states[slot] == ACTIVE) {
                startedTick[slot] = tick;
                abortAsked[slot] = false;
                retries[slot]++;
                controller.counters().replays.increment();
                enqueue(slot);
            }
        }
    }

    /** Ends all that is in flight with EIO, and everything that is submitted from then on. */
    void askToDie() {
        if (reactor == null) {
            dead = true;
        } else {
            give(DIE);
        }
    }

    private void die() {
        dead = true;
        running = false;
        stopped = true;
        for (int slot = 0; slot < slots; slot++) {
            if (states[slot] == ACTIVE) {
                finish(slot, -Errno.EIO);
            }
        }
    }

    /** New queues: what was in them is forgotten. The controller's thread, while the pair is stopped. */
    void reset(long newSqDoorbell, long newCqDoorbell) {
        sqDoorbell = newSqDoorbell;
        cqDoorbell = newCqDoorbell;
        sqShadow = 0;
        cqShadow = 0;
        sqTail = 0;
        sqTailTold = 0;
        cqHead = 0;
        cqHeadTold = 0;
        phase = 1;
        Memory.zero(cqAddress, (long) entries * NVME_CQE_BYTES);
    }

    void useShadows(long sqShadowAddress, long cqShadowAddress, long sqEventAddress, long cqEventAddress) {
        sqShadow = sqShadowAddress;
        cqShadow = cqShadowAddress;
        sqEventIndex = sqEventAddress;
        cqEventIndex = cqEventAddress;
    }

    int entries() {
        return entries;
    }

    long sqIova() {
        return sqIova;
    }

    long cqIova() {
        return cqIova;
    }

    void free() {
        memory.close();
        bounceMemory.close();
    }
}

package io.vhostfs.virtio;

import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_F_INDIRECT;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_F_NEXT;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_F_WRITE;
import static io.vhostfs.virtio.VirtioConstants.VRING_DESC_SIZE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.GuestMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.virtio.VirtioDriver.Buffer;
import io.vhostfs.virtio.VirtioDriver.Used;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Sections are those of virtio 1.2. */
class SplitVirtqueueTest {
    private static final long GUEST = 0x1_0000_0000L;
    private static final int RAM_BYTES = 4 << 20;
    private static final long INDIRECT = 1L << 28;
    private static final long EVENT_IDX = 1L << 29;

    private final GuestRam ram = new GuestRam(RAM_BYTES);
    private final List<SplitVirtqueue> queues = new ArrayList<>();
    private final List<DescriptorChain> chains = new ArrayList<>();
    private final int callFd = Libc.eventfd(0, LibcConstants.EFD_NONBLOCK);
    private VirtioDriver driver = driver(16, false);

    @AfterEach
    void free() {
        for (DescriptorChain chain : chains) {
            if (chain.inFlight) {
                chain.queue().pushUsed(chain, 0);
            }
        }
        queues.forEach(SplitVirtqueue::close);
        Libc.close(callFd);
        ram.close();
    }

    private VirtioDriver driver(int size, boolean eventIdx) {
        driver = new VirtioDriver(ram.address(), GUEST, RAM_BYTES, size, eventIdx);
        return driver;
    }

    private SplitVirtqueue start(long features) {
        return start(features, 0, driver.memory());
    }

    private SplitVirtqueue start(long features, int lastAvail, GuestMemory memory) {
        SplitVirtqueue queue = new SplitVirtqueue("test", driver.size());
        queues.add(queue);
        driver.start(queue, memory, lastAvail, features, callFd);
        return queue;
    }

    private SplitVirtqueue startWithEventIdx(int size) {
        driver(size, true);
        return start(EVENT_IDX);
    }

    private int poll(SplitVirtqueue queue) {
        return queue.poll(chains::add, Integer.MAX_VALUE);
    }

    private DescriptorChain pop(SplitVirtqueue queue) {
        assertEquals(1, poll(queue), () -> String.valueOf(queue.brokenReason()));
        return chains.getLast();
    }

    private void assertBreaks(SplitVirtqueue queue, String reason) {
        int before = chains.size();
        int lastAvail = queue.lastAvail();
        assertEquals(0, poll(queue));
        assertTrue(
                Objects.requireNonNull(queue.brokenReason()).contains(reason),
                () -> queue.brokenReason() + " does not say: " + reason);
        assertEquals(before, chains.size());
        assertEquals(lastAvail, queue.lastAvail());
        driver.putDescriptor(0, GUEST + 0x10_0000, 16, 0, 0);
        driver.offer(0);
        assertEquals(0, poll(queue), "a broken queue takes nothing");
    }

    private Buffer in(int bytes) {
        return new Buffer(driver.allocate(bytes), bytes, false);
    }

    private Buffer out(int bytes) {
        return new Buffer(driver.allocate(bytes), bytes, true);
    }

    private long calls() {
        try (Arena arena = Arena.ofConfined()) {
            long value = arena.allocate(8, 8).address();
            return Libc.read(callFd, value, 8) == 8 ? Memory.getLong(value) : 0;
        }
    }

    private Used takeUsed() {
        return Objects.requireNonNull(driver.takeUsed());
    }

    // Section 2.7.5, descriptor table.

    @Test
    void aChainIsItsReadableAndThenItsWritablePart() {
        SplitVirtqueue queue = start(0);
        Buffer header = in(40);
        Buffer argument = in(100);
        Buffer answer = out(4096);
        int head = driver.add(header, argument, answer);
        DescriptorChain chain = pop(queue);
        assertEquals(head, chain.slot());
        assertEquals(2, chain.readableCount());
        assertEquals(140, chain.readableBytes());
        assertEquals(1, chain.writableCount());
        assertEquals(4096, chain.writableBytes());
        assertEquals(driver.toLocal(header.guestAddress()), Iovecs.base(chain.readableIovecs(), 0));
        assertEquals(40, Iovecs.length(chain.readableIovecs(), 0));
        assertEquals(driver.toLocal(argument.guestAddress()), Iovecs.base(chain.readableIovecs(), 1));
        assertEquals(driver.toLocal(answer.guestAddress()), Iovecs.base(chain.writableIovecs(), 0));
        assertEquals(4096, Iovecs.length(chain.writableIovecs(), 0));
    }

    @Test
    void aChainMayBeReadableOnlyOrWritableOnly() {
        SplitVirtqueue queue = start(0);
        driver.add(in(8));
        driver.add(out(8), out(8));
        assertEquals(2, poll(queue));
        assertEquals(0, chains.get(0).writableCount());
        assertEquals(0, chains.get(1).readableCount());
        assertEquals(2, chains.get(1).writableCount());
        assertEquals(chains.get(1).readableIovecs(), chains.get(1).writableIovecs());
    }

    @Test
    void aChainMayUseEveryDescriptorOfTheTable() {
        SplitVirtqueue queue = start(0);
        Buffer[] buffers = new Buffer[16];
        for (int i = 0; i < 16; i++) {
            buffers[i] = i < 4 ? in(8) : out(8);
        }
        driver.add(buffers);
        DescriptorChain chain = pop(queue);
        assertEquals(4, chain.readableCount());
        assertEquals(12, chain.writableCount());
    }

    @Test
    void aLoopBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.putDescriptor(0, driver.allocate(8), 8, VRING_DESC_F_NEXT, 1);
        driver.putDescriptor(1, driver.allocate(8), 8, VRING_DESC_F_NEXT, 0);
        driver.offer(0);
        assertBreaks(queue, "loop");
    }

    @Test
    void aNextIndexBeyondTheTableBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.putDescriptor(0, driver.allocate(8), 8, VRING_DESC_F_NEXT, 16);
        driver.offer(0);
        assertBreaks(queue, "descriptor 16");
    }

    @Test
    void aReadableDescriptorBehindAWritableOneBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.add(out(8), in(8));
        assertBreaks(queue, "readable");
    }

    @Test
    void aDescriptorOfLengthZeroBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.putDescriptor(0, driver.allocate(8), 0, 0, 0);
        driver.offer(0);
        assertBreaks(queue, "length 0");
    }

    @ParameterizedTest
    @ValueSource(
            longs = {0, GUEST - 1, GUEST + RAM_BYTES - 7, GUEST + RAM_BYTES, Long.MAX_VALUE, -8, -1, Long.MIN_VALUE})
    void anAddressOutsideGuestMemoryBreaksTheQueue(long guestAddress) {
        SplitVirtqueue queue = start(0);
        driver.putDescriptor(0, guestAddress, 8, 0, 0);
        driver.offer(0);
        assertBreaks(queue, "memory region");
    }

    @Test
    void aLengthThatReachesOutOfGuestMemoryBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.putDescriptor(0, GUEST, -1, 0, 0);
        driver.offer(0);
        assertBreaks(queue, "memory region");
    }

    @Test
    void aChainLongerThanTwoToThe32BytesBreaksTheQueue() {
        long large = 1L << 40;
        GuestMemory memory = new GuestMemory(new GuestMemory.Region[] {
            new GuestMemory.Region(GUEST, GUEST, RAM_BYTES, ram.address()),
            new GuestMemory.Region(1L << 42, 1L << 42, large, 1L << 40)
        });
        SplitVirtqueue queue = start(0, 0, memory);
        driver.add(new Buffer(1L << 42, -1, false), new Buffer(1L << 42, 1, true));
        pop(queue);
        driver.add(new Buffer(1L << 42, -1, false), new Buffer(1L << 42, 2, true));
        assertBreaks(queue, "2^32");
    }

    @Test
    void aDescriptorThatSpansTwoRegionsBecomesTwoIovecs() {
        int half = RAM_BYTES / 2;
        try (GuestRam other = new GuestRam(half)) {
            GuestMemory memory = new GuestMemory(new GuestMemory.Region[] {
                new GuestMemory.Region(GUEST + half, GUEST + half, half, other.address()),
                new GuestMemory.Region(GUEST, GUEST, half, ram.address())
            });
            SplitVirtqueue queue = start(0, 0, memory);
            driver.add(in(8), new Buffer(GUEST + half - 100, 300, true));
            DescriptorChain chain = pop(queue);
            assertEquals(2, chain.writableCount());
            assertEquals(300, chain.writableBytes());
            assertEquals(ram.address() + half - 100, Iovecs.base(chain.writableIovecs(), 0));
            assertEquals(100, Iovecs.length(chain.writableIovecs(), 0));
            assertEquals(other.address(), Iovecs.base(chain.writableIovecs(), 1));
            assertEquals(200, Iovecs.length(chain.writableIovecs(), 1));
        }
    }

    // Section 2.7.5.3, indirect descriptors.

    @Test
    void anIndirectTableIsWalkedInItsOwnIndices() {
        SplitVirtqueue queue = start(INDIRECT);
        Buffer request = in(64);
        driver.addIndirect(driver.allocate(64), request, out(16), out(4096));
        DescriptorChain chain = pop(queue);
        assertEquals(1, chain.readableCount());
        assertEquals(driver.toLocal(request.guestAddress()), Iovecs.base(chain.readableIovecs(), 0));
        assertEquals(2, chain.writableCount());
        assertEquals(4112, chain.writableBytes());
    }

    @Test
    void anIndirectTableMayBeLongerThanTheQueue() {
        SplitVirtqueue queue = start(INDIRECT);
        Buffer[] buffers = new Buffer[SplitVirtqueue.MAX_CHAIN_DESCRIPTORS];
        for (int i = 0; i < buffers.length; i++) {
            buffers[i] = i < 2 ? in(16) : out(16);
        }
        driver.addIndirect(driver.allocate((long) buffers.length * VRING_DESC_SIZE), buffers);
        DescriptorChain chain = pop(queue);
        assertEquals(2, chain.readableCount());
        assertEquals(buffers.length - 2, chain.writableCount());
        for (int i = 0; i < chain.writableCount(); i++) {
            assertEquals(driver.toLocal(buffers[i + 2].guestAddress()), Iovecs.base(chain.writableIovecs(), i));
        }
    }

    @Test
    void normalDescriptorsMayComeBeforeAnIndirectOne() {
        SplitVirtqueue queue = start(INDIRECT);
        long table = driver.allocate(16);
        VirtioDriver.putDescriptorAt(driver.toLocal(table), driver.allocate(32), 32, VRING_DESC_F_WRITE, 0);
        driver.putDescriptor(3, driver.allocate(8), 8, VRING_DESC_F_NEXT, 5);
        driver.putDescriptor(5, table, 16, VRING_DESC_F_INDIRECT, 0);
        driver.offer(3);
        DescriptorChain chain = pop(queue);
        assertEquals(8, chain.readableBytes());
        assertEquals(32, chain.writableBytes());
    }

    @Test
    void theWriteFlagOfAnIndirectDescriptorMeansNothing() {
        SplitVirtqueue queue = start(INDIRECT);
        long table = driver.allocate(16);
        VirtioDriver.putDescriptorAt(driver.toLocal(table), driver.allocate(32), 32, 0, 0);
        driver.putDescriptor(0, table, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
        driver.offer(0);
        assertEquals(32, pop(queue).readableBytes());
    }

    @Test
    void anIndirectTableThatSpansTwoRegionsIsRead() {
        int half = RAM_BYTES / 2;
        try (GuestRam other = new GuestRam(half)) {
            GuestMemory memory = new GuestMemory(new GuestMemory.Region[] {
                new GuestMemory.Region(GUEST, GUEST, half, ram.address()),
                new GuestMemory.Region(GUEST + half, GUEST + half, half, other.address())
            });
            SplitVirtqueue queue = start(INDIRECT, 0, memory);
            // The second of two descriptors straddles the border.
            VirtioDriver.putDescriptorAt(ram.address() + half - 24, GUEST, 10, VRING_DESC_F_NEXT, 1);
            Memory.putLong(ram.address() + half - 8, GUEST + 512);
            Memory.putLong(other.address(), 20 | (long) VRING_DESC_F_WRITE << 32);
            driver.putDescriptor(0, GUEST + half - 24, 32, VRING_DESC_F_INDIRECT, 0);
            driver.offer(0);
            DescriptorChain chain = pop(queue);
            assertEquals(10, chain.readableBytes());
            assertEquals(20, chain.writableBytes());
        }
    }

    @Test
    void anIndirectDescriptorWithoutTheFeatureBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.addIndirect(driver.allocate(16), in(8));
        assertBreaks(queue, "not negotiated");
    }

    @Test
    void anIndirectDescriptorWithANextOneBreaksTheQueue() {
        SplitVirtqueue queue = start(INDIRECT);
        driver.putDescriptor(0, driver.allocate(16), 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
        driver.offer(0);
        assertBreaks(queue, "next");
    }

    @Test
    void anIndirectDescriptorInsideAnIndirectTableBreaksTheQueue() {
        SplitVirtqueue queue = start(INDIRECT);
        long table = driver.allocate(16);
        VirtioDriver.putDescriptorAt(driver.toLocal(table), table, 16, VRING_DESC_F_INDIRECT, 0);
        driver.putDescriptor(0, table, 16, VRING_DESC_F_INDIRECT, 0);
        driver.offer(0);
        assertBreaks(queue, "inside");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 15, 17, 16 * 1025, -16, -1})
    void anIndirectTableOfAnOddLengthBreaksTheQueue(int bytes) {
        SplitVirtqueue queue = start(INDIRECT);
        driver.putDescriptor(0, GUEST, bytes, VRING_DESC_F_INDIRECT, 0);
        driver.offer(0);
        assertBreaks(queue, "indirect table of");
    }

    @Test
    void anIndirectTableOutsideGuestMemoryBreaksTheQueue() {
        SplitVirtqueue queue = start(INDIRECT);
        driver.putDescriptor(0, GUEST + RAM_BYTES - 16, 32, VRING_DESC_F_INDIRECT, 0);
        driver.offer(0);
        assertBreaks(queue, "indirect table");
    }

    @Test
    void aLoopInAnIndirectTableBreaksTheQueue() {
        SplitVirtqueue queue = start(INDIRECT);
        long table = driver.allocate(32);
        VirtioDriver.putDescriptorAt(driver.toLocal(table), GUEST, 8, VRING_DESC_F_NEXT, 1);
        VirtioDriver.putDescriptorAt(driver.toLocal(table) + 16, GUEST, 8, VRING_DESC_F_NEXT, 0);
        driver.putDescriptor(0, table, 32, VRING_DESC_F_INDIRECT, 0);
        driver.offer(0);
        assertBreaks(queue, "loop");
    }

    @Test
    void aNextIndexBeyondAnIndirectTableBreaksTheQueue() {
        SplitVirtqueue queue = start(INDIRECT);
        long table = driver.allocate(32);
        VirtioDriver.putDescriptorAt(driver.toLocal(table), GUEST, 8, VRING_DESC_F_NEXT, 2);
        driver.putDescriptor(0, table, 32, VRING_DESC_F_INDIRECT, 0);
        driver.offer(0);
        assertBreaks(queue, "descriptor 2");
    }

    // Section 2.7.6, available ring.

    @Test
    void chainsAreTakenInBatchesAndInOrder() {
        SplitVirtqueue queue = start(0);
        int[] heads = new int[10];
        for (int i = 0; i < 10; i++) {
            heads[i] = driver.add(in(8));
        }
        assertEquals(4, queue.poll(chains::add, 4));
        assertEquals(4, queue.inFlight());
        assertEquals(6, queue.poll(chains::add, 100));
        for (int i = 0; i < 10; i++) {
            assertEquals(heads[i], chains.get(i).slot());
        }
        assertEquals(10, queue.lastAvail());
    }

    @Test
    void anAvailableIndexMoreThanTheQueueAheadBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.setAvailIdx(17);
        assertBreaks(queue, "17 ahead");
    }

    @Test
    void anAvailableIndexThatWentBackBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.add(in(8));
        pop(queue);
        driver.setAvailIdx(0);
        assertBreaks(queue, "65535 ahead");
    }

    @Test
    void aHeadBeyondTheTableBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        driver.offer(16);
        assertBreaks(queue, "names descriptor 16");
    }

    @Test
    void aHeadThatIsInFlightAlreadyBreaksTheQueue() {
        SplitVirtqueue queue = start(0);
        int head = driver.add(in(8));
        pop(queue);
        driver.offer(head);
        assertBreaks(queue, "second time");
    }

    @Test
    void chainsBeforeABadOneAreHandedOut() {
        SplitVirtqueue queue = start(0);
        driver.add(in(8));
        driver.add(in(8));
        driver.offer(99);
        assertEquals(2, poll(queue));
        assertNotNull(queue.brokenReason());
        assertEquals(2, queue.lastAvail());
    }

    @Test
    void whatTheDriverChangesAfterwardsDoesNotReachTheChain() {
        SplitVirtqueue queue = start(0);
        int head = driver.add(in(8), out(16));
        DescriptorChain chain = pop(queue);
        long base = Iovecs.base(chain.readableIovecs(), 0);
        driver.putDescriptor(head, -1, -1, -1, -1);
        assertEquals(base, Iovecs.base(chain.readableIovecs(), 0));
        assertEquals(8, chain.readableBytes());
        assertEquals(16, chain.writableBytes());
    }

    @Test
    void aQueueGoesOnAtTheIndexItIsGiven() {
        driver.startAt(65_533);
        SplitVirtqueue queue = start(0, 65_533, driver.memory());
        for (int i = 0; i < 6; i++) {
            driver.add(in(8), out(8));
            queue.pushUsed(pop(queue), i);
            queue.flush();
            assertEquals(i, takeUsed().lengthBytes());
        }
        assertEquals(3, queue.lastAvail());
        assertEquals(3, driver.usedIdx());
    }

    // Section 2.7.8, used ring.

    @Test
    void usedElementsAppearTogetherAtTheFlush() {
        SplitVirtqueue queue = start(0);
        driver.add(in(8), out(8));
        driver.add(in(8), out(8));
        poll(queue);
        queue.pushUsed(chains.get(0), 3);
        queue.pushUsed(chains.get(1), 5);
        assertNull(driver.takeUsed());
        assertEquals(2, queue.flush());
        assertEquals(3, takeUsed().lengthBytes());
        assertEquals(5, takeUsed().lengthBytes());
        assertEquals(0, queue.flush());
    }

    @Test
    void chainsMayComeBackOutOfOrder() {
        SplitVirtqueue queue = start(0);
        int first = driver.add(in(8));
        int second = driver.add(in(8));
        poll(queue);
        queue.pushUsed(chains.get(1), 0);
        queue.pushUsed(chains.get(0), 0);
        queue.flush();
        assertEquals(second, takeUsed().head());
        assertEquals(first, takeUsed().head());
        assertEquals(0, queue.inFlight());
    }

    @Test
    void aChainThatIsNotInFlightCannotBePushed() {
        SplitVirtqueue queue = start(0);
        driver.add(in(8));
        DescriptorChain chain = pop(queue);
        queue.pushUsed(chain, 0);
        assertThrows(IllegalStateException.class, () -> queue.pushUsed(chain, 0));
    }

    // Section 2.7.7, used buffer notification suppression.

    @Test
    void oneCallCoversABatch() {
        SplitVirtqueue queue = start(0);
        driver.add(in(8));
        driver.add(in(8));
        poll(queue);
        chains.forEach(chain -> queue.pushUsed(chain, 0));
        queue.flush();
        assertEquals(1, calls());
    }

    @Test
    void noCallIsMadeAgainstTheNoInterruptFlag() {
        SplitVirtqueue queue = start(0);
        echoOne(queue);
        calls();
        driver.setAvailFlags(VirtioConstants.VRING_AVAIL_F_NO_INTERRUPT);
        echoOne(queue);
        assertEquals(0, calls());
        driver.setAvailFlags(0);
        echoOne(queue);
        assertEquals(1, calls());
    }

    @Test
    void withEventIdxACallIsMadeWhenTheIndexPassesUsedEvent() {
        SplitVirtqueue queue = startWithEventIdx(16);
        echoOne(queue);
        calls();
        driver.setUsedEvent(3);
        echoOne(queue);
        echoOne(queue);
        assertEquals(0, calls(), "index 3 is not beyond used_event 3");
        echoOne(queue);
        assertEquals(1, calls());
        echoOne(queue);
        assertEquals(0, calls());
    }

    @Test
    void withEventIdxTheFlagMeansNothing() {
        SplitVirtqueue queue = startWithEventIdx(16);
        echoOne(queue);
        calls();
        driver.setAvailFlags(VirtioConstants.VRING_AVAIL_F_NO_INTERRUPT);
        driver.setUsedEvent(1);
        echoOne(queue);
        assertEquals(1, calls());
    }

    @Test
    void theFirstUsedBufferAfterAStartIsAlwaysCalled() {
        driver(16, true).startAt(100);
        SplitVirtqueue queue = start(EVENT_IDX, 100, driver.memory());
        driver.setUsedEvent(7000);
        echoOne(queue);
        assertEquals(1, calls());
    }

    private void echoOne(SplitVirtqueue queue) {
        driver.add(in(8));
        queue.pushUsed(pop(queue), 0);
        queue.flush();
        takeUsed();
    }

    // Section 2.7.10, available buffer notification suppression.

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aPolledQueueIsNotKicked(boolean eventIdx) {
        driver(16, eventIdx);
        SplitVirtqueue queue = start(eventIdx ? EVENT_IDX : 0);
        for (int i = 0; i < 100; i++) {
            driver.add(in(8));
            assertFalse(driver.needsKick());
            queue.pushUsed(pop(queue), 0);
            queue.flush();
            takeUsed();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aSleepingQueueIsKickedOnceAndAWokenOneNotAgain(boolean eventIdx) {
        driver(16, eventIdx);
        SplitVirtqueue queue = start(eventIdx ? EVENT_IDX : 0);
        echoOne(queue);
        driver.needsKick();
        assertTrue(queue.prepareToSleep());
        driver.add(in(8));
        assertTrue(driver.needsKick());
        queue.wake();
        driver.add(in(8));
        assertFalse(driver.needsKick());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aQueueWithAnAvailableChainDoesNotSleep(boolean eventIdx) {
        driver(16, eventIdx);
        SplitVirtqueue queue = start(eventIdx ? EVENT_IDX : 0);
        driver.add(in(8));
        assertFalse(queue.prepareToSleep());
    }

    @Test
    void whatWasPushedIsPublishedBeforeASleep() {
        SplitVirtqueue queue = startWithEventIdx(16);
        driver.add(in(8));
        queue.pushUsed(pop(queue), 0);
        assertTrue(queue.prepareToSleep());
        assertNotNull(driver.takeUsed());
    }

    // What the standard leaves to implementations.

    @Test
    void sizesAreThePowersOfTwoUpTo32768() {
        for (int size : new int[] {1, 2, 256, 32_768}) {
            assertTrue(SplitVirtqueue.isValidSize(size));
        }
        for (long size : new long[] {-1, 0, 3, 1000, 65_536, 1L << 31, 1L << 32}) {
            assertFalse(SplitVirtqueue.isValidSize(size));
        }
        assertThrows(IllegalArgumentException.class, () -> new SplitVirtqueue("odd", 3).close());
    }

    @Test
    void memoryThatIsTakenAwayBreaksTheQueueAndNothingElse() {
        SplitVirtqueue queue = startWithEventIdx(16);
        driver.add(in(8));
        driver.add(in(8));
        queue.poll(chains::add, 1);
        DescriptorChain chain = chains.getFirst();
        assertEquals(0, ram.truncate());
        assertEquals(0, queue.poll(chains::add, 10));
        assertNotNull(queue.memoryFault());
        queue.pushUsed(chain, 0);
        queue.flush();
        queue.wake();
        assertTrue(queue.prepareToSleep());
        assertEquals(0, queue.inFlight());
    }

    @Test
    void pushingIntoMemoryThatIsTakenAwayThrowsNothing() {
        SplitVirtqueue queue = startWithEventIdx(16);
        driver.add(in(8));
        DescriptorChain chain = pop(queue);
        ram.truncate();
        queue.pushUsed(chain, 0);
        assertNotNull(queue.memoryFault());
    }

    @Test
    void aQueueStopsAtTheChainWhoseHandlerBreaksIt() {
        SplitVirtqueue queue = start(0);
        driver.add(in(8));
        driver.add(in(8));
        int taken = queue.poll(
                chain -> {
                    chains.add(chain);
                    queue.markBroken("no more");
                },
                10);
        assertEquals(1, taken);
    }
}

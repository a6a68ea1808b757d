package io.vhostfs.virtio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.vhostfs.FuzzSource;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Whatever is in the ring: what reaches the handler lies in guest memory, and the walk ends. */
class SplitVirtqueueFuzzTest {
    private static final long GUEST = 0x4000_0000L;
    private static final int RAM_BYTES = 1 << 16;
    private static final int SIZE = 8;
    private static final int MAX_STEPS = 200;

    private final GuestRam ram = new GuestRam(RAM_BYTES);
    private int chains;

    @AfterEach
    void free() {
        ram.close();
    }

    @FuzzTest
    void handsOutNothingOutsideGuestMemory(FuzzedDataProvider data) {
        drive(FuzzSource.of(data));
    }

    /** The same, from seeds, for runs without a fuzzer. */
    @Test
    void handsOutNothingOutsideGuestMemoryForManySeeds() {
        for (int seed = 0; seed < 3000; seed++) {
            drive(FuzzSource.of(new Random(seed), MAX_STEPS));
        }
        assertTrue(chains > 3000, "chains: " + chains);
    }

    private void drive(FuzzSource source) {
        Memory.zero(ram.address(), RAM_BYTES);
        boolean eventIdx = source.number(0, 1) == 1;
        VirtioDriver driver = new VirtioDriver(ram.address(), GUEST, RAM_BYTES, SIZE, eventIdx);
        SplitVirtqueue queue = new SplitVirtqueue("fuzz", SIZE);
        driver.start(queue, driver.memory(), 0, (long) source.number(0, 3) << 28, -1);
        Deque<DescriptorChain> held = new ArrayDeque<>();
        for (int index = 0; index < 3 * SIZE; index++) {
            VirtioDriver.putDescriptorAt(descriptor(driver, index), GUEST + 0xc000 + index * 64L, 64, 0, 0);
        }
        for (int step = 0; step < MAX_STEPS && source.hasMore() && queue.brokenReason() == null; step++) {
            switch (source.number(0, 40)) {
                case 0 -> driver.setAvailIdx(driver.availIdx() + source.number(0, 3));
                case 1 -> driver.offer(source.number(0, 65_535));
                case 2, 3, 4, 5, 6, 7, 8, 9 -> spoilDescriptor(driver, source);
                case 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 -> {
                    while (!held.isEmpty()) {
                        queue.pushUsed(held.pop(), source.number(0, 4096));
                    }
                }
                default -> offerFree(driver, held, source.number(0, SIZE - 1));
            }
            queue.poll(
                    chain -> {
                        check(chain);
                        held.add(chain);
                    },
                    SIZE);
            queue.flush();
            if (!queue.prepareToSleep()) {
                queue.wake();
            }
        }
        assertEquals(held.size(), queue.inFlight());
        held.forEach(chain -> queue.pushUsed(chain, 0));
        queue.close();
    }

    private static void offerFree(VirtioDriver driver, Deque<DescriptorChain> held, int head) {
        if (held.stream().noneMatch(chain -> chain.slot() == head)) {
            driver.offer(head);
        }
    }

    /** In the table or in one of two indirect tables. */
    private long descriptor(VirtioDriver driver, int index) {
        return index < SIZE ? driver.descriptorAddress(index) : ram.address() + 0x8000 + (index - SIZE) * 16L;
    }

    /** Mostly with plausible numbers. */
    private void spoilDescriptor(VirtioDriver driver, FuzzSource source) {
        long at = descriptor(driver, source.number(0, 3 * SIZE - 1));
        long address = GUEST + source.number(0, RAM_BYTES - 256);
        int length = 16 * source.number(1, 8);
        int flags = source.number(0, 3);
        switch (source.number(0, 30)) {
            case 0 -> address = source.any();
            case 1 -> length = (int) source.any();
            case 2 -> flags = (int) source.any();
            case 3, 4, 5, 6, 7, 8 -> {
                address = GUEST + 0x8000 + source.number(0, 1) * 128L;
                flags = 4;
            }
            default -> {}
        }
        VirtioDriver.putDescriptorAt(at, address, length, flags, source.number(0, source.number(0, 20) == 0 ? 9 : 7));
    }

    private void check(DescriptorChain chain) {
        chains++;
        assertEquals(chain.readableBytes(), check(chain.readableIovecs(), chain.readableCount()));
        assertEquals(chain.writableBytes(), check(chain.writableIovecs(), chain.writableCount()));
        assertTrue(chain.readableCount() + chain.writableCount() > 0);
    }

    private long check(long iovecs, int count) {
        long total = 0;
        for (int i = 0; i < count; i++) {
            long start = Iovecs.base(iovecs, i) - ram.address();
            long length = Iovecs.length(iovecs, i);
            assertTrue(length > 0 && start >= 0 && start + length <= RAM_BYTES, "iovec " + start + "+" + length);
            total += length;
        }
        return total;
    }
}

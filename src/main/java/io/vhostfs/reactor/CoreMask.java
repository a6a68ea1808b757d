package io.vhostfs.reactor;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import java.math.BigInteger;
import java.util.BitSet;

/**
 * A set of processor cores, at least one, numbered as Linux numbers them. Immutable; any thread.
 *
 * <p>Written as a hexadecimal mask ({@code 0x6}) or as a list of numbers and ranges, in brackets or not ({@code [1,2]},
 * {@code 1,3-5}). Both mean core numbers, never positions in the set of allowed cores.
 */
public final class CoreMask {
    /** What the C library's {@code cpu_set_t} holds. */
    public static final int MAX_CORES = LibcConstants.CPU_SET_T_SIZE * Byte.SIZE;

    private final BitSet cores;

    private CoreMask(BitSet cores) {
        this.cores = cores;
    }

    /**
     * The cores that {@code text} names.
     *
     * @throws CoreMaskException when it is not a mask or list, is empty, or names a core above {@link #MAX_CORES}
     */
    public static CoreMask parse(String text) {
        String trimmed = text.strip();
        BitSet cores = trimmed.startsWith("0x") || trimmed.startsWith("0X")
                ? parseMask(text, trimmed.substring(2))
                : parseList(text, withoutBrackets(text, trimmed));
        if (cores.isEmpty()) {
            throw new CoreMaskException("core mask \"" + text + "\" names no core");
        }
        return new CoreMask(cores);
    }

    /** The cores on which the calling thread may run. */
    public static CoreMask allowed() {
        try (Arena arena = Arena.ofConfined()) {
            long cpuSet =
                    arena.allocate(LibcConstants.CPU_SET_T_SIZE, Long.BYTES).address();
            int result = Libc.schedGetaffinity(0, LibcConstants.CPU_SET_T_SIZE, cpuSet);
            if (result < 0) {
                throw new CoreMaskException("sched_getaffinity: " + Errno.name(result) + "; a machine of more than "
                        + MAX_CORES + " cores is not supported");
            }
            byte[] bits = new byte[LibcConstants.CPU_SET_T_SIZE];
            Memory.copyToArray(cpuSet, bits, 0, bits.length);
            return new CoreMask(BitSet.valueOf(bits));
        }
    }

    /**
     * This mask, if the calling thread may run on every core of it.
     *
     * @throws CoreMaskException that names the cores that do not exist or are not allowed, and the allowed ones
     */
    public CoreMask requireAllowed() {
        CoreMask allowed = allowed();
        BitSet missing = (BitSet) cores.clone();
        missing.andNot(allowed.cores);
        if (!missing.isEmpty()) {
            throw new CoreMaskException("core mask " + this + ": this process may not run on " + new CoreMask(missing)
                    + "; allowed are " + allowed + " (taskset, cpuset cgroup)");
        }
        return this;
    }

    /** The core numbers, ascending. */
    public int[] cores() {
        return cores.stream().toArray();
    }

    public int count() {
        return cores.cardinality();
    }

    public boolean contains(int core) {
        return cores.get(core);
    }

    /** Lets the calling thread, and threads it starts from now on, run on one core only. */
    static void pinCallingThread(int core) {
        try (Arena arena = Arena.ofConfined()) {
            long cpuSet =
                    arena.allocate(LibcConstants.CPU_SET_T_SIZE, Long.BYTES).address();
            Memory.putByte(cpuSet + (core >>> 3), (byte) (1 << (core & 7)));
            int result = Libc.schedSetaffinity(0, LibcConstants.CPU_SET_T_SIZE, cpuSet);
            if (result < 0) {
                throw new CoreMaskException("core " + core + " cannot be pinned to: " + Errno.name(result)
                        + "; allowed are " + allowed() + " (taskset, cpuset cgroup)");
            }
        }
    }

    private static BitSet parseMask(String text, String digits) {
        if (!digits.matches("[0-9a-fA-F]+")) {
            throw malformed(text);
        }
        BigInteger mask = new BigInteger(digits, 16);
        if (mask.bitLength() > MAX_CORES) {
            throw beyondLimit(text);
        }
        BitSet cores = new BitSet();
        for (int core = 0; core < mask.bitLength(); core++) {
            cores.set(core, mask.testBit(core));
        }
        return cores;
    }

    private static BitSet parseList(String text, String list) {
        BitSet cores = new BitSet();
        for (String item : list.split(",", -1)) {
            String[] ends = item.strip().split("-", -1);
            int first = parseCore(text, ends[0]);
            int last = parseCore(text, ends[ends.length - 1]);
            if (ends.length > 2 || last < first) {
                throw malformed(text);
            }
            cores.set(first, last + 1);
        }
        return cores;
    }

    private static int parseCore(String text, String digits) {
        if (!digits.matches("[0-9]+")) {
            throw malformed(text);
        }
        if (digits.length() > 9 || Integer.parseInt(digits) >= MAX_CORES) {
            throw beyondLimit(text);
        }
        return Integer.parseInt(digits);
    }

    private static String withoutBrackets(String text, String trimmed) {
        boolean opens = trimmed.startsWith("[");
        if (opens != trimmed.endsWith("]")) {
            throw malformed(text);
        }
        return opens ? trimmed.substring(1, trimmed.length() - 1) : trimmed;
    }

    private static CoreMaskException malformed(String text) {
        return new CoreMaskException(
                "core mask \"" + text + "\" is neither a mask such as 0x6 nor a list such as [1,2] or 1,3-5");
    }

    private static CoreMaskException beyondLimit(String text) {
        return new CoreMaskException("core mask \"" + text + "\" names a core above " + (MAX_CORES - 1));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof CoreMask mask && mask.cores.equals(cores);
    }

    @Override
    public int hashCode() {
        return cores.hashCode();
    }

    /** As a list: {@code 1,3-5}. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        for (int first = cores.nextSetBit(0); first >= 0; ) {
            int end = cores.nextClearBit(first);
            text.append(text.isEmpty() ? "" : ",").append(first);
            if (end - first > 1) {
                text.append('-').append(end - 1);
            }
            first = cores.nextSetBit(end);
        }
        return text.toString();
    }
}

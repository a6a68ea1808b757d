package io.vhostfs.blobfs;

import io.vhostfs.memory.Memory;

/**
 * SipHash-1-3 of names, keyed with the file system's secret, so that nobody can choose names that collide.
 *
 * <p>J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", with one compression and three finalization
 * rounds. Immutable; any thread.
 */
final class NameHash {
    /** The 3 of SipHash-1-3: rounds without input behind the last word. */
    private static final int FINAL_ROUNDS = 3;

    private final long key0;
    private final long key1;

    NameHash(long seed) {
        key0 = seed;
        key1 = (seed * 0x9E3779B97F4A7C15L) ^ 0x5bf03635d9f6c2a1L;
    }

    /** 48 bits, at least 1: so that cookies of entries never meet those of "." and "..". */
    long hash48(long address, int length) {
        return Math.max(1, hash(address, length) >>> 16);
    }

    /** 40 bits. */
    long hash40(long address, int length) {
        return hash(address, length) >>> 24;
    }

    long hash(long address, int length) {
        long v0 = key0 ^ 0x736f6d6570736575L;
        long v1 = key1 ^ 0x646f72616e646f6dL;
        long v2 = key0 ^ 0x6c7967656e657261L;
        long v3 = key1 ^ 0x7465646279746573L;
        int last = length >>> 3;
        for (int i = 0; i <= last + FINAL_ROUNDS; i++) {
            long m = 0;
            if (i < last) {
                m = Memory.getLong(address + 8L * i);
            } else if (i == last) {
                m = lastWord(address + 8L * last, length);
            } else if (i == last + 1) {
                v2 ^= 0xff;
            }
            v3 ^= m;
            v0 += v1;
            v1 = Long.rotateLeft(v1, 13) ^ v0;
            v0 = Long.rotateLeft(v0, 32);
            v2 += v3;
            v3 = Long.rotateLeft(v3, 16) ^ v2;
            v0 += v3;
            v3 = Long.rotateLeft(v3, 21) ^ v0;
            v2 += v1;
            v1 = Long.rotateLeft(v1, 17) ^ v2;
            v2 = Long.rotateLeft(v2, 32);
            v0 ^= m;
        }
        return v0 ^ v1 ^ v2 ^ v3;
    }

    private static long lastWord(long address, int length) {
        long word = (long) length << 56;
        for (int i = (length & 7) - 1; i >= 0; i--) {
            word |= (long) Memory.getUnsignedByte(address + i) << (8 * i);
        }
        return word;
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

/** The hash is part of what is on disk: it never changes. */
class NameHashTest {
    private final NameHash hash = new NameHash(0x123_4567_89ab_cdefL);

    @Test
    void isSipHash13() {
        try (Arena arena = Arena.ofConfined()) {
            long name = arena.allocate(256, 8).address();
            for (int i = 0; i < 256; i++) {
                Memory.putByte(name + i, (byte) (i * 37 + 11));
            }
            assertEquals(0xb2d4382a0cc848b1L, hash.hash(name, 0));
            assertEquals(0x2e4d449cf44eda93L, hash.hash(name, 8));
            assertEquals(0x78b7e154ddd6a5acL, hash.hash(name, 13));
            assertEquals(0xbacbfb46d11f5294L, hash.hash(name, 255));
            long all = 0;
            for (int length = 0; length < 256; length++) {
                all = all * 31 + hash.hash(name, length);
            }
            assertEquals(0xddea99d61ca00440L, all);
        }
    }
}

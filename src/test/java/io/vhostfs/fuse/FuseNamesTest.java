package io.vhostfs.fuse;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.Test;

class FuseNamesTest {
    /** The rules, one byte at a time. */
    private static int fileName(byte[] bytes, int available) {
        for (int i = 0; i < available; i++) {
            if (bytes[i] == '/') {
                return i > 255 ? -Errno.ENAMETOOLONG : -Errno.EINVAL;
            }
            if (bytes[i] == 0) {
                return i == 0 ? -Errno.EINVAL : i > 255 ? -Errno.ENAMETOOLONG : i;
            }
        }
        return available > 255 ? -Errno.ENAMETOOLONG : -Errno.EINVAL;
    }

    @Test
    void findsTheEndOfAnyNameWhateverLiesBehindIt() {
        Random random = new Random(1);
        try (Arena arena = Arena.ofConfined()) {
            long at = arena.allocate(300).address();
            for (int round = 0; round < 20_000; round++) {
                byte[] bytes = new byte[300];
                byte[] alphabet = {'a', (byte) 0x80, (byte) 0xff, 1, '.', '/' + 1, '/' - 1, (byte) ('/' | 0x80)};
                for (int i = 0; i < bytes.length; i++) {
                    int special = random.nextInt(round % 300 + 2);
                    bytes[i] = special == 0
                            ? 0
                            : special == 1 && round % 2 == 0 ? (byte) '/' : alphabet[random.nextInt(8)];
                }
                int available = random.nextInt(292);
                Memory.copyFromArray(bytes, 0, at, bytes.length);
                assertEquals(fileName(bytes, available), FuseNames.fileName(at, available));
            }
        }
    }
}

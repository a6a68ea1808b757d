package io.vhostfs.os;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.function.LongToIntFunction;

/** Lends a Java string to a system call as a NUL-terminated UTF-8 string. Control paths only: it allocates. */
public final class CString {
    private CString() {}

    /** Result of {@code call}, which gets the string's address; the address is invalid after the call. */
    public static int with(String text, LongToIntFunction call) {
        try (Arena arena = Arena.ofConfined()) {
            return call.applyAsInt(arena.allocateFrom(text).address());
        }
    }

    /** The string of at most {@code maxBytes} bytes at {@code address}, up to its NUL. */
    public static String read(long address, int maxBytes) {
        MemorySegment bytes = MemorySegment.ofAddress(address).reinterpret(maxBytes);
        int length = 0;
        while (length < maxBytes && bytes.get(java.lang.foreign.ValueLayout.JAVA_BYTE, length) != 0) {
            length++;
        }
        return new String(
                bytes.asSlice(0, length).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE),
                java.nio.charset.StandardCharsets.UTF_8);
    }
}

package io.vhostfs.fuse;

import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Private memory for the largest extended attribute, or for a long directory listing. One request at a time has it. */
final class LargeBuffer {
    static final int CAPACITY = LibcConstants.XATTR_SIZE_MAX;

    /** Names are scanned eight bytes at a time and may be read past their end. */
    private static final int SLACK = 8;

    final long address;

    /** Keeps the memory alive as long as the buffer. */
    @SuppressWarnings("unused")
    private final MemorySegment owner;

    LargeBuffer() {
        owner = Arena.ofAuto().allocate(CAPACITY + SLACK, 64);
        address = owner.address();
    }
}

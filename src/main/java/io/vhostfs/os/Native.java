package io.vhostfs.os;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.util.NoSuchElementException;

/**
 * Makes downcall handles and keeps one errno capture segment per thread.
 *
 * <p>All pointers are passed as {@code long}: a pointer into a shared arena would cost a liveness check per call.
 *
 * <p>A call that keeps errno makes a slice of the capture segment, which is garbage unless the compiler inlines all of the
 * handle. So {@code bin/vhostfs} has each method of {@link Libc} compiled by itself, where its budget for that never runs out.
 */
final class Native {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final SymbolLookup LOOKUP = LINKER.defaultLookup();
    private static final Linker.Option CAPTURE_ERRNO = Linker.Option.captureCallState("errno");
    private static final VarHandle ERRNO =
            Linker.Option.captureStateLayout().varHandle(MemoryLayout.PathElement.groupElement("errno"));

    /** Never freed: one small segment per thread that ever made a call. */
    private static final ThreadLocal<MemorySegment> CALL_STATE =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(Linker.Option.captureStateLayout()));

    private Native() {}

    /** A handle whose first parameter is the segment from {@link #callState()}, filled with errno by the call. */
    static MethodHandle withErrno(String symbol, FunctionDescriptor type) {
        return LINKER.downcallHandle(find(symbol), type, CAPTURE_ERRNO);
    }

    /** The same for a C function that is variadic from argument {@code firstVariadic} on. */
    static MethodHandle variadicWithErrno(String symbol, int firstVariadic, FunctionDescriptor type) {
        return LINKER.downcallHandle(find(symbol), type, CAPTURE_ERRNO, Linker.Option.firstVariadicArg(firstVariadic));
    }

    /** A handle for a call that cannot fail. */
    static MethodHandle plain(String symbol, FunctionDescriptor type) {
        return LINKER.downcallHandle(find(symbol), type);
    }

    /**
     * The same without the thread's change of state, for a call that takes nanoseconds: the thread holds up every
     * safepoint meanwhile.
     */
    static MethodHandle critical(String symbol, FunctionDescriptor type) {
        return LINKER.downcallHandle(find(symbol), type, Linker.Option.critical(false));
    }

    static MemorySegment callState() {
        return CALL_STATE.get();
    }

    /** The errno that the last call made with {@code callState} left there, negated. */
    static int negativeErrno(MemorySegment callState) {
        return -(int) ERRNO.get(callState, 0L);
    }

    /** Downcall handles declare {@code Throwable} but throw none: whatever arrives here is a bug. */
    static AssertionError unexpected(Throwable t) {
        return new AssertionError("downcall threw", t);
    }

    private static MemorySegment find(String symbol) {
        return LOOKUP.find(symbol)
                .orElseThrow(() -> new NoSuchElementException("the C library has no function " + symbol));
    }
}

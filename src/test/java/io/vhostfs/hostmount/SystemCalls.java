package io.vhostfs.hostmount;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Functions of the C library that only tests call, by name. */
final class SystemCalls {
    private static final Linker LINKER = Linker.nativeLinker();

    private SystemCalls() {}

    /** The result, or the negative errno. Arguments are Integer, Long, String (lent for the call) or MemorySegment. */
    static long call(String function, Object... arguments) {
        try (Arena arena = Arena.ofConfined()) {
            MemoryLayout[] types = new MemoryLayout[arguments.length];
            Object[] all = new Object[arguments.length + 1];
            MemorySegment state = arena.allocate(Linker.Option.captureStateLayout());
            all[0] = state;
            for (int i = 0; i < arguments.length; i++) {
                Object argument = arguments[i];
                types[i] = argument instanceof Integer
                        ? ValueLayout.JAVA_INT
                        : argument instanceof Long ? ValueLayout.JAVA_LONG : ValueLayout.ADDRESS;
                all[i + 1] = argument instanceof String text ? arena.allocateFrom(text) : argument;
            }
            Object result = LINKER.downcallHandle(
                            LINKER.defaultLookup().find(function).orElseThrow(),
                            FunctionDescriptor.of(ValueLayout.JAVA_LONG, types),
                            Linker.Option.captureCallState("errno"))
                    .invokeWithArguments(all);
            long value = (long) result;
            // Most return an int: what the register holds above it means nothing.
            return value == -1 || (int) value == -1 ? -state.get(ValueLayout.JAVA_INT, 0) : value;
        } catch (Throwable t) {
            throw new AssertionError(function, t);
        }
    }

    /** The same for a function that returns an int. */
    static int callInt(String function, Object... arguments) {
        return (int) call(function, arguments);
    }
}

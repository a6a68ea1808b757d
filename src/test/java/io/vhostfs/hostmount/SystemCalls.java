package io.vhostfs.hostmount;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Functions of the C library that only tests call, by name. */
public final class SystemCalls {
    /** Numbers of x86-64. The C library's own functions would change all threads of the process. */
    private static final long SYS_SETGROUPS = 116;

    private static final long SYS_SETRESUID = 117;
    private static final long SYS_SETRESGID = 119;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final Map<List<Object>, MethodHandle> HANDLES = new ConcurrentHashMap<>();

    /**
     * Whom the kernel takes a thread for.
     *
     * @param uid its user
     * @param groups its groups, the first one being that of what it makes
     */
    record Credentials(int uid, List<Integer> groups) {
        static final Credentials ROOT = new Credentials(0, List.of(0));
    }

    private SystemCalls() {}

    /** The result, or the negative errno. Arguments are Integer, Long, String (lent for the call) or MemorySegment. */
    public static long call(String function, Object... arguments) {
        return callAs(Credentials.ROOT, function, arguments);
    }

    /** The same with the rights of someone else, of a thread that is root's. */
    static long callAs(Credentials who, String function, Object... arguments) {
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
            MethodHandle handle = handle(function, types);
            long value;
            if (who.equals(Credentials.ROOT)) {
                value = (long) handle.invokeWithArguments(all);
            } else {
                become(arena, who);
                try {
                    value = (long) handle.invokeWithArguments(all);
                } finally {
                    int errno = state.get(ValueLayout.JAVA_INT, 0);
                    become(arena, Credentials.ROOT);
                    state.set(ValueLayout.JAVA_INT, 0, errno);
                }
            }
            // Most return an int: what the register holds above it means nothing.
            return value == -1 || (int) value == -1 ? -state.get(ValueLayout.JAVA_INT, 0) : value;
        } catch (Throwable t) {
            throw new AssertionError(function, t);
        }
    }

    private static MethodHandle handle(String function, MemoryLayout... types) {
        return HANDLES.computeIfAbsent(
                List.of(function, Arrays.asList(types)),
                key -> LINKER.downcallHandle(
                        LINKER.defaultLookup().find(function).orElseThrow(),
                        FunctionDescriptor.of(ValueLayout.JAVA_LONG, types),
                        Linker.Option.captureCallState("errno")));
    }

    /** Changes the effective user and the groups of this thread alone; the saved user stays root. */
    private static void become(Arena arena, Credentials who) {
        int[] groups = who.groups.stream().mapToInt(Integer::intValue).toArray();
        MemorySegment list = arena.allocateFrom(ValueLayout.JAVA_INT, groups);
        if (who.uid == 0) {
            change(SYS_SETRESUID, -1, 0, -1);
        }
        change(SYS_SETGROUPS, groups.length, list.address(), 0);
        change(SYS_SETRESGID, -1, groups[0], -1);
        change(SYS_SETRESUID, -1, who.uid, -1);
    }

    private static void change(long number, long first, long second, long third) {
        long status = call("syscall", number, first, second, third);
        if (status != 0) {
            throw new AssertionError("system call " + number + ": " + status);
        }
    }

    /** The same for a function that returns an int. */
    public static int callInt(String function, Object... arguments) {
        return (int) call(function, arguments);
    }
}

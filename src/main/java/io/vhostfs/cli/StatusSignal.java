package io.vhostfs.cli;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import org.slf4j.LoggerFactory;

/**
 * Runs something on a thread of the JVM's whenever SIGUSR1 arrives.
 *
 * <p>By reflection: the class for it is the JDK's, but not of its documented API, so compiling against it warns.
 */
final class StatusSignal {
    private StatusSignal() {}

    /** Where the JDK has no such class, the signal does what it does by default: callers must not rely on it. */
    static void onUsr1(Runnable action) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            InvocationHandler run = (proxy, method, arguments) -> {
                action.run();
                return null;
            };
            Object proxy = Proxy.newProxyInstance(handler.getClassLoader(), new Class<?>[] {handler}, run);
            signal.getMethod("handle", signal, handler)
                    .invoke(null, signal.getConstructor(String.class).newInstance("USR1"), proxy);
        } catch (ReflectiveOperationException e) {
            LoggerFactory.getLogger(StatusSignal.class).warn("SIGUSR1 cannot be used: {}", e.toString());
        }
    }
}

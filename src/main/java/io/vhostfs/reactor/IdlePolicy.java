package io.vhostfs.reactor;

import java.util.Locale;

/** What a reactor does in a turn that found no work. */
public enum IdlePolicy {
    /** Polls on and never sleeps: lowest latency, one whole core. */
    BUSY,

    /** Polls on for a while, then sleeps until it is notified. */
    ADAPTIVE,

    /** Sleeps at once: least processor time, each wake-up pays for a notification. */
    INTERRUPT;

    /**
     * The policy of that name, as the command line spells it.
     *
     * @throws IllegalArgumentException when {@code text} is none of busy, adaptive, interrupt
     */
    public static IdlePolicy parse(String text) {
        return switch (text) {
            case "busy" -> BUSY;
            case "adaptive" -> ADAPTIVE;
            case "interrupt" -> INTERRUPT;
            default ->
                throw new IllegalArgumentException(
                        "idle policy \"" + text + "\" is not known; there are busy, adaptive and interrupt");
        };
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}

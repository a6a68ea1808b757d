package io.vhostfs.fsdev;

/** When what a client reads gets a new access time. */
public enum AccessTimes {
    /** Never: it changes only when it is set. */
    OFF,
    /** When the last one is not later than the last change, or a day old: relatime of mount(8). */
    RELATIVE,
    /** Each time. */
    STRICT
}

package io.vhostfs.cli;

/** Exit codes after sysexits.h, so that scripts and service managers can tell why a command ended. */
final class ExitCodes {
    static final int OK = 0;
    /** fsck: errors were found and put right, as in fsck(8). */
    static final int FSCK_REPAIRED = 1;
    /** fsck: errors were found and left uncorrected, as in fsck(8). */
    static final int FSCK_ERRORS = 4;
    /** fsck: nothing could be put right, as in fsck(8). */
    static final int FSCK_FAILED = 8;
    /** doctor: something is missing or slow. */
    static final int FINDINGS = 1;
    /** EX_USAGE: the command was used wrongly. */
    static final int USAGE = 64;
    /** EX_DATAERR: the data on a device is not what it should be. */
    static final int DATA = 65;
    /** EX_NOINPUT: a file or device does not exist or cannot be read. */
    static final int NO_INPUT = 66;
    /** EX_UNAVAILABLE: something needed is not there. */
    static final int UNAVAILABLE = 69;
    /** EX_SOFTWARE: an error in vhostfs itself. */
    static final int SOFTWARE = 70;
    /** EX_CANTCREAT: a file, socket or device could not be made or opened for writing. */
    static final int CANNOT_CREATE = 73;
    /** EX_IOERR: a device reported an error. */
    static final int IO = 74;
    /** EX_CONFIG: the configuration is wrong. */
    static final int CONFIG = 78;

    private ExitCodes() {}
}

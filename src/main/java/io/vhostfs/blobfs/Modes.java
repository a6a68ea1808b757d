package io.vhostfs.blobfs;

import io.vhostfs.os.LibcConstants;

/** File types and the rules of mode bits. */
final class Modes {
    static final int S_IFMT = LibcConstants.S_IFMT;
    static final int S_IFDIR = LibcConstants.S_IFDIR;
    static final int S_IFREG = LibcConstants.S_IFREG;
    static final int S_IFLNK = LibcConstants.S_IFLNK;
    private static final int S_IXGRP = 0x8;
    /** Everything chmod(2) changes. */
    static final int PERMISSIONS = 0xfff;

    private Modes() {}

    /** The {@code DT_*} value of a mode. */
    static int directoryType(int mode) {
        return (mode & S_IFMT) >>> 12;
    }

    /**
     * What a change of data by someone without CAP_FSETID leaves of a mode: neither set-ID bit. Where the group may not
     * execute, S_ISGID stays when a member of it did that; we know of one by the group that is sent with the request, of
     * others only the client does.
     */
    static int withoutPrivileges(int mode, boolean isMember) {
        boolean keepsGroup = isMember && (mode & S_IXGRP) == 0;
        return mode & ~(keepsGroup ? LibcConstants.S_ISUID : LibcConstants.S_ISUID | LibcConstants.S_ISGID);
    }

    /** What a change of owner leaves of the mode of a file: no set-user-ID, no set-group-ID of an executable. */
    static int withNewOwner(int mode) {
        int m = mode & ~LibcConstants.S_ISUID;
        return (m & S_IXGRP) != 0 ? m & ~LibcConstants.S_ISGID : m;
    }

    static boolean isValidType(int mode) {
        return switch (mode & S_IFMT) {
            case LibcConstants.S_IFREG,
                    LibcConstants.S_IFDIR,
                    LibcConstants.S_IFLNK,
                    LibcConstants.S_IFCHR,
                    LibcConstants.S_IFBLK,
                    LibcConstants.S_IFIFO,
                    LibcConstants.S_IFSOCK -> true;
            default -> false;
        };
    }
}

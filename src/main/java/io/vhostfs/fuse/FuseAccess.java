package io.vhostfs.fuse;

import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;

/**
 * The answer to ACCESS: the mode bits, read as Linux reads them. Kernels that check permissions themselves
 * (default_permissions, as virtiofs always does) never ask; supplementary groups are not known here.
 */
final class FuseAccess {
    private static final int ANY_EXECUTE = 0111;

    private FuseAccess() {}

    static int check(FuseRequest request) {
        FsAttributes a = request.attributes;
        int wanted = request.accessMask;
        if (request.uid == 0) {
            boolean runs = (a.mode & LibcConstants.S_IFMT) == LibcConstants.S_IFDIR || (a.mode & ANY_EXECUTE) != 0;
            return (wanted & LibcConstants.X_OK) == 0 || runs ? 0 : -Errno.EACCES;
        }
        int shift = request.uid == a.uid ? 6 : request.gid == a.gid ? 3 : 0;
        return ((a.mode >>> shift) & wanted) == wanted ? 0 : -Errno.EACCES;
    }
}

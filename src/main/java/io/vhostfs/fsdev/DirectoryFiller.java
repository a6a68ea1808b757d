package io.vhostfs.fsdev;

/** Takes directory entries for a {@link FsOp#READDIR} request; called on the file system's home reactor. */
public interface DirectoryFiller {
    /**
     * Offers one entry.
     *
     * @param nameAddress the name's bytes, valid during the call only
     * @param type the {@code S_IFMT} bits shifted right by 12 ({@code DT_*})
     * @param nextCookie where reading continues behind this entry
     * @param attributes for {@link FsRequest#wantAttributes}, else only {@code inode} is set; null for "." and ".." of a
     *     listing with attributes, of which no reference is counted
     * @return whether there was room; false ends the listing and the entry is not consumed
     */
    boolean add(
            long inode,
            long nameAddress,
            int nameLength,
            int type,
            long nextCookie,
            @org.jspecify.annotations.Nullable FsAttributes attributes);
}

package io.vhostfs.fsdev;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Access control lists as setfacl(1) writes them in short: {@code u::rw-,u:1001:r--,g::r--,m::rw-,o::---}. */
public final class AclText {
    private static final int[] OBJECT_TAGS = {1, 4, 16, 32};
    private static final String LETTERS = "ugmo";

    private AclText() {}

    /** The attribute's value. */
    public static byte[] encode(String text) {
        String[] entries = text.split(",", -1);
        ByteBuffer value = ByteBuffer.allocate(4 + 8 * entries.length).order(ByteOrder.LITTLE_ENDIAN);
        value.putInt(2);
        for (String entry : entries) {
            String[] parts = entry.split(":", -1);
            int tag = OBJECT_TAGS[LETTERS.indexOf(parts[0])];
            boolean named = !parts[1].isEmpty();
            int permissions = (parts[2].charAt(0) == 'r' ? 4 : 0)
                    | (parts[2].charAt(1) == 'w' ? 2 : 0)
                    | (parts[2].charAt(2) == 'x' ? 1 : 0);
            value.putShort((short) (named ? tag << 1 : tag));
            value.putShort((short) permissions);
            value.putInt(named ? Integer.parseInt(parts[1]) : -1);
        }
        return value.array();
    }

    /** What {@link #encode} makes the value of. */
    public static String decode(byte[] value) {
        ByteBuffer in = ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN);
        if (in.getInt() != 2) {
            throw new IllegalArgumentException("not version 2");
        }
        List<String> entries = new ArrayList<>();
        while (in.hasRemaining()) {
            int tag = in.getShort();
            int permissions = in.getShort();
            int id = in.getInt();
            boolean named = tag == 2 || tag == 8;
            char letter = LETTERS.charAt(Arrays.binarySearch(OBJECT_TAGS, named ? tag >> 1 : tag));
            entries.add(letter + ":" + (named ? id : "") + ":" + ((permissions & 4) != 0 ? "r" : "-")
                    + ((permissions & 2) != 0 ? "w" : "-") + ((permissions & 1) != 0 ? "x" : "-"));
        }
        return String.join(",", entries);
    }
}

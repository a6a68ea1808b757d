package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

final class FioTableTest {
    /** As fio 3.33 prints it, shortened behind the fields that are read. */
    private static String terse(String job, int readKib, int writeKib) {
        String percentiles = "1.000000%=90;50.000000%=110;99.000000%=420;99.900000%=900" + ";0%=0".repeat(16);
        String direction = ";2048;512;8000;0;0;0;0;80;900;120.5;10.0;" + percentiles + ";0;0;0;0;0;0;0%;0;0";
        return "3;fio-3.33;" + job + ";0;0;" + readKib + direction + ";" + writeKib + direction + ";5%";
    }

    @Test
    void shouldReadBothDirectionsAndPassOverOtherLines() {
        List<FioTable.Row> rows = FioTable.parse(List.of("guest: Linux", terse("rw", 1024, 4096), "3;too;short"));
        assertEquals(2, rows.size());
        assertEquals("read", rows.get(0).direction());
        assertEquals(1024, rows.get(0).totalKib());
        assertEquals("write", rows.get(1).direction());
        assertEquals(4096, rows.get(1).totalKib());
        assertEquals(512, rows.get(1).iops());
    }

    @Test
    void shouldLeaveOutADirectionThatMovedNothing() {
        assertEquals(1, FioTable.parse(List.of(terse("w", 0, 4096))).size());
    }

    @Test
    void shouldPrintPercentiles() {
        String table = FioTable.format(FioTable.parse(List.of(terse("w", 0, 4096))));
        assertTrue(table.contains("420") && table.contains("110") && table.contains("900"), table);
    }
}

package io.vhostfs.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Reads fio's terse output (version 3) and prints it as a small table.
 *
 * <p>Field numbers are those of fio's HOWTO, section "Terse output", counted from 0.
 */
final class FioTable {
    private static final int FIELD_JOB = 2;
    private static final int FIELD_ERROR = 4;
    private static final int READ_FIELDS = 5;
    private static final int WRITE_FIELDS = 46;
    private static final int TOTAL_KIB = 0;
    private static final int BANDWIDTH_KIB = 1;
    private static final int IOPS = 2;
    private static final int FIRST_PERCENTILE = 12;
    private static final int PERCENTILES = 20;
    private static final int LEAST_FIELDS = WRITE_FIELDS + FIRST_PERCENTILE + PERCENTILES;

    /**
     * One direction of one job.
     *
     * @param percentiles pairs such as {@code 99.000000%=420}, microseconds
     */
    record Row(
            String job,
            String direction,
            int error,
            long totalKib,
            long kibPerSecond,
            long iops,
            List<String> percentiles) {}

    private FioTable() {}

    /** The rows of all terse lines in fio's output; other lines are passed over. */
    static List<Row> parse(List<String> output) {
        List<Row> rows = new ArrayList<>();
        for (String line : output) {
            String[] fields = line.split(";", -1);
            if (fields.length < LEAST_FIELDS || !fields[0].equals("3")) {
                continue;
            }
            addRow(rows, fields, "read", READ_FIELDS);
            addRow(rows, fields, "write", WRITE_FIELDS);
        }
        return rows;
    }

    private static void addRow(List<Row> rows, String[] fields, String direction, int from) {
        long totalKib = Long.parseLong(fields[from + TOTAL_KIB]);
        if (totalKib == 0) {
            return;
        }
        List<String> percentiles =
                List.of(fields).subList(from + FIRST_PERCENTILE, from + FIRST_PERCENTILE + PERCENTILES);
        rows.add(new Row(
                fields[FIELD_JOB],
                direction,
                Integer.parseInt(fields[FIELD_ERROR]),
                totalKib,
                Long.parseLong(fields[from + BANDWIDTH_KIB]),
                Long.parseLong(fields[from + IOPS]),
                List.copyOf(percentiles)));
    }

    static String format(List<Row> rows) {
        StringBuilder text = new StringBuilder();
        text.append(String.format(
                Locale.ROOT,
                "%-18s %-6s %9s %9s %9s %9s %9s %9s%n",
                "job",
                "",
                "MiB",
                "MiB/s",
                "IOPS",
                "p50 us",
                "p99 us",
                "p99.9 us"));
        for (Row row : rows) {
            text.append(String.format(
                    Locale.ROOT,
                    "%-18s %-6s %9.1f %9.1f %9d %9s %9s %9s%n",
                    row.job(),
                    row.direction(),
                    row.totalKib() / 1024.0,
                    row.kibPerSecond() / 1024.0,
                    row.iops(),
                    percentile(row, "50.0"),
                    percentile(row, "99.0"),
                    percentile(row, "99.9")));
        }
        return text.toString();
    }

    private static String percentile(Row row, String wanted) {
        for (String pair : row.percentiles()) {
            if (pair.startsWith(wanted) && pair.indexOf('=') > 0) {
                return pair.substring(pair.indexOf('=') + 1);
            }
        }
        return "-";
    }
}

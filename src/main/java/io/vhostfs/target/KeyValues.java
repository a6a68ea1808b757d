package io.vhostfs.target;

import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The form {@code key=value,key=value} of a composite option. Each key may be given once; what nobody took is an error.
 *
 * <p>Not thread-safe; lives while an option is read.
 */
final class KeyValues {
    private final String option;
    private final String text;
    private final Map<String, String> left = new LinkedHashMap<>();

    KeyValues(String option, String text) {
        this.option = option;
        this.text = text;
        for (String part : text.split(",", -1)) {
            int equals = part.indexOf('=');
            if (equals <= 0) {
                throw wrong("'" + part + "' is not key=value");
            }
            String key = part.substring(0, equals);
            if (left.put(key, part.substring(equals + 1)) != null) {
                throw wrong("'" + key + "' is given twice");
            }
        }
    }

    @Nullable
    String take(String key) {
        return left.remove(key);
    }

    String take(String key, String otherwise) {
        String value = left.remove(key);
        return value == null ? otherwise : value;
    }

    String require(String key) {
        String value = left.remove(key);
        if (value == null || value.isEmpty()) {
            throw wrong("'" + key + "=' is missing");
        }
        return value;
    }

    int takeInt(String key, int otherwise, int least, int most) {
        String value = left.remove(key);
        if (value == null) {
            return otherwise;
        }
        try {
            int number = Integer.parseInt(value);
            if (number >= least && number <= most) {
                return number;
            }
        } catch (NumberFormatException e) {
            // said below, as for a number out of range
        }
        throw wrong("'" + key + "=" + value + "' is not a number from " + least + " to " + most);
    }

    void expectEmpty(String known) {
        if (!left.isEmpty()) {
            throw wrong("unknown key '" + left.keySet().iterator().next() + "'; known are " + known);
        }
    }

    ConfigException wrong(String problem) {
        return new ConfigException(option + " " + text + ": " + problem);
    }
}

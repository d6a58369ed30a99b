import { registry } from "@web/core/registry";
import { dateField, DateTimeField } from "@web/views/fields/datetime/datetime_field";

/** A date of which only month and year matter: chosen and shown as such. */
export class MonthField extends DateTimeField {
    getFormattedValue(valueIndex) {
        const value = this.values[valueIndex];
        return value ? value.toFormat("LLLL yyyy") : "";
    }
}

export const monthField = {
    ...dateField,
    component: MonthField,
    extractProps: (fieldInfo, dynamicInfo) => ({
        ...dateField.extractProps(fieldInfo, dynamicInfo),
        minPrecision: "months",
        maxPrecision: "months",
    }),
};

registry.category("fields").add("month", monthField);
